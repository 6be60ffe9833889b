//! The process under test and its clients.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use child_process::ChildProcess;
pub use child_process::CommandOutput;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// Far above any expected wait, so only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(20);

/// The callback secret of carrier and shop.
pub const SECRET: &str = "a secret of at least sixteen bytes";

/// A running process.
pub struct Simulators {
    child: ChildProcess,
    pub payment: SimulatedService,
    pub carrier: SimulatedService,
    pub inbox: SimulatedService,
    pub smtp: SocketAddr,
}

/// The HTTP client of a service.
#[derive(Clone)]
pub struct SimulatedService {
    pub address: SocketAddr,
    client: Client,
}

/// A response. The body is null when it isn't JSON.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub is_replayed: bool,
    pub body: Value,
}

fn command(arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = child_process::command(Path::new(env!("CARGO_BIN_EXE_backstock-simulators")));
    command
        .args(arguments)
        .env_clear()
        .envs(
            ["PAYMENT", "CARRIER", "SMTP", "INBOX"]
                .map(|service| (format!("BACKSTOCK_{service}_LISTEN"), "127.0.0.1:0")),
        )
        .env("BACKSTOCK_LOG_FORMAT", "json")
        .envs(settings.iter().copied());
    command
}

/// Runs a command to completion.
pub async fn run(arguments: &[&str], settings: &[(&str, &str)]) -> CommandOutput {
    child_process::run(command(arguments, settings)).await
}

/// Polls until `look` returns a value. Panics with `what` at the deadline.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            started.elapsed() < DEADLINE,
            "timed out after {DEADLINE:?}, waiting until {what}"
        );
        // The poll interval: the loop ends with the event, or fails at the deadline.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Simulators {
    /// Starts the process and reads its addresses from the log line `serving`.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let mut child = ChildProcess::start_captured("simulators", command(&[], settings)).unwrap();
        let fields = child.next_logged("serving").await;
        let address = |name: &str| fields[name].as_str().unwrap().parse().unwrap();
        // A missing response fails the test instead of hanging it.
        let client = Client::builder().timeout(DEADLINE).build().unwrap();
        let service = |name: &str| SimulatedService {
            address: address(name),
            client: client.clone(),
        };
        Self {
            payment: service("payment_listen"),
            carrier: service("carrier_listen"),
            inbox: service("inbox_listen"),
            smtp: address("smtp_listen"),
            child,
        }
    }

    /// Sends SIGTERM, as an orchestrator does.
    pub fn terminate(&self) {
        self.child.terminate();
    }

    /// Waits for the process. Returns its exit status and the rest of its log.
    pub async fn ended(self) -> (ExitStatus, String) {
        (self.child.exited().await, self.child.rest_of_log())
    }
}

impl SimulatedService {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await.unwrap()
    }

    pub async fn post(&self, path: &str) -> Answer {
        answer(self.request(Method::POST, path)).await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await.unwrap()
    }

    /// Posts a body with an idempotency key. An error is a closed connection or a timeout.
    pub async fn post_as(&self, key: &str, path: &str, body: &Value) -> Result<Answer, reqwest::Error> {
        let request = self.request(Method::POST, path);
        answer(request.header("idempotency-key", key).json(body)).await
    }

    pub async fn set(&self, control: Value) -> Answer {
        answer(self.request(Method::PUT, "/control").json(&control))
            .await
            .unwrap()
    }
}

pub async fn answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await?;
    Ok(Answer {
        status,
        is_replayed: headers
            .get("idempotency-replayed")
            .is_some_and(|value| value == "true"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

/// A request to authorize a payment.
pub fn payment(token: &str, reference: &str) -> Value {
    json!({ "amount": 1299, "currency": "EUR", "payment_token": token, "reference": reference })
}

/// A request for a label.
pub fn parcel(reference: &str) -> Value {
    json!({
        "reference": reference,
        "service": "express",
        "address": {
            "name": "Ada Lovelace", "line1": "1 Analytical Way", "city": "Bonn", "postal_code": "53111", "country": "DE",
        },
    })
}
