//! The processes of a town beside the api: the worker, and the simulated third parties.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use child_process::ChildProcess;
use hyper::Method;
use serde_json::{Value, json};

use crate::load::{Request, Target, fetch};
use crate::shop::{free_addresses, program};

/// How long a process may take until it is ready: a worker declares its queues first.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long a process may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// How long a third party takes to answer: log-normal, by two numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delay {
    /// Half of the answers take at most as long.
    pub median_ms: f64,
    /// 99 of 100 answers take at most as long.
    pub p99_ms: f64,
}

impl Delay {
    /// At once.
    pub const NONE: Delay = Delay::of(0.0, 0.0);

    /// With this median and 99th percentile.
    pub const fn of(median_ms: f64, p99_ms: f64) -> Delay {
        Delay { median_ms, p99_ms }
    }
}

/// How long each third party takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThirdParties {
    /// The payment gateway, authorizing as well as capturing.
    pub payment: Delay,
    /// The parcel carrier.
    pub carrier: Delay,
    /// The mail server.
    pub mail: Delay,
}

impl ThirdParties {
    /// All answer at once.
    pub const AT_ONCE: ThirdParties = ThirdParties {
        payment: Delay::NONE,
        carrier: Delay::NONE,
        mail: Delay::NONE,
    };

    /// Round numbers for companies on the internet, chosen and measured nowhere: those of `make up`.
    pub const USUAL: ThirdParties = ThirdParties {
        payment: Delay::of(120.0, 400.0),
        carrier: Delay::of(150.0, 500.0),
        mail: Delay::of(30.0, 150.0),
    };
}

/// A running `backstock-simulators`. Dropping it ends the process at once.
#[derive(Debug)]
pub struct Simulators {
    payment: SocketAddr,
    carrier: SocketAddr,
    smtp: SocketAddr,
    inbox: SocketAddr,
    process: ChildProcess,
}

impl Simulators {
    /// Starts them on free loopback ports, without delays and failures.
    pub async fn start(binary: &Path, log: &Path) -> Result<Simulators> {
        let [payment, carrier, smtp, inbox] = free_addresses()?;
        let listens = [
            ("PAYMENT", payment),
            ("CARRIER", carrier),
            ("SMTP", smtp),
            ("INBOX", inbox),
        ];
        let mut command = program(binary);
        command
            .envs(listens.map(|(party, address)| (format!("BACKSTOCK_{party}_LISTEN"), address.to_string())));
        let process = ChildProcess::start("the simulators", command, log)?;
        wait_until_ready(payment, "/livez", &process).await?;
        Ok(Simulators {
            payment,
            carrier,
            smtp,
            inbox,
            process,
        })
    }

    /// Where the shop's programs find them.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("BACKSTOCK_PAYMENT_URL", format!("http://{}", self.payment)),
            ("BACKSTOCK_CARRIER_URL", format!("http://{}", self.carrier)),
            ("BACKSTOCK_SMTP_URL", format!("smtp://{}", self.smtp)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Sets how long each takes. The sequences of delays begin anew, so that every arm meets the same ones.
    pub async fn set_delays(&self, delays: &ThirdParties) -> Result<()> {
        let parties = [
            (self.payment, delays.payment),
            (self.carrier, delays.carrier),
            (self.inbox, delays.mail),
        ];
        for (address, delay) in parties {
            let conduct = json!({
                "latency_median_ms": delay.median_ms, "latency_p99_ms": delay.p99_ms,
                "failure_error": 0.0, "failure_before": 0.0, "failure_after": 0.0, "seed": 1,
            });
            control(address, &conduct).await?;
        }
        Ok(())
    }

    /// Lets the mail server refuse everything, or nothing.
    pub async fn set_mail_refuses(&self, refuses: bool) -> Result<()> {
        let share = if refuses { 1.0 } else { 0.0 };
        control(self.inbox, &json!({ "failure_error": share })).await
    }

    /// Mails that arrived since the last reset.
    pub async fn mails(&self) -> Result<u64> {
        let count = get(self.inbox, "/messages/count?to=nobody@lab.example").await?;
        count["received"]
            .as_u64()
            .context("the inbox counts what it received")
    }

    /// References that were authorized more than once.
    pub async fn charged_twice(&self) -> Result<u64> {
        let totals = get(self.payment, "/v1/totals").await?;
        totals["doubled"]
            .as_u64()
            .context("the gateway counts references that were doubled")
    }

    /// Payments whose money is held or was taken.
    pub async fn payments(&self) -> Result<u64> {
        let totals = get(self.payment, "/v1/totals").await?;
        let count = |status: &str| totals[status].as_u64();
        let both = count("authorized").zip(count("captured"));
        both.map(|(held, taken)| held + taken)
            .context("the gateway counts its payments")
    }

    /// Payments whose money was taken.
    pub async fn captured(&self) -> Result<u64> {
        let totals = get(self.payment, "/v1/totals").await?;
        totals["captured"]
            .as_u64()
            .context("the gateway counts its payments")
    }

    /// Where the payment gateway is.
    pub fn payment_address(&self) -> SocketAddr {
        self.payment
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Asks the process to end.
    pub async fn stop(self) -> Result<()> {
        self.process.stop(STOP_PATIENCE).await
    }
}

/// A running `backstock-worker`. Dropping it ends the process at once, as `kill -9` does.
#[derive(Debug)]
pub struct Worker {
    internal_address: SocketAddr,
    process: ChildProcess,
}

impl Worker {
    /// Starts it and waits until it is ready.
    pub async fn start(binary: &Path, environment: &[(String, String)], log: &Path) -> Result<Worker> {
        let [internal] = free_addresses()?;
        let mut command = program(binary);
        command
            .envs(environment.iter().cloned())
            .env("BACKSTOCK_INTERNAL_LISTEN", internal.to_string());
        let process = ChildProcess::start("the worker", command, log)?;
        wait_until_ready(internal, "/readyz", &process).await?;
        Ok(Worker {
            internal_address: internal,
            process,
        })
    }

    /// Where its health and its metrics are.
    pub fn internal_address(&self) -> SocketAddr {
        self.internal_address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Stops it in its tracks.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Asks it to end, and waits until it has finished what it was doing.
    pub async fn stop(self) -> Result<()> {
        self.process.stop(STOP_PATIENCE).await
    }
}

async fn control(address: SocketAddr, conduct: &Value) -> Result<()> {
    let request = Request::with_json(Method::PUT, "/control", conduct)?;
    let answer = fetch(&Target::new(address), &request).await?;
    ensure!(
        answer.status.is_success(),
        "a simulator refuses {conduct}: {}",
        String::from_utf8_lossy(&answer.body)
    );
    Ok(())
}

async fn get(address: SocketAddr, path: &str) -> Result<Value> {
    let answer = fetch(&Target::new(address), &Request::get(path)?).await?;
    ensure!(
        answer.status.is_success(),
        "a simulator answers {path} with {}",
        answer.status
    );
    serde_json::from_slice(&answer.body)
        .with_context(|| format!("a simulator answers {path} with something else"))
}

async fn wait_until_ready(address: SocketAddr, path: &str, process: &ChildProcess) -> Result<()> {
    let (target, ready) = (Target::new(address), Request::get(path)?);
    let is_ready =
        || async { matches!(fetch(&target, &ready).await, Ok(answer) if answer.status.is_success()) };
    process.wait_until_ready(START_PATIENCE, is_ready).await
}
