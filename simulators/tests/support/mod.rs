//! The process under test, and the requests that tests make.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// Far above anything that is waited for: only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a carrier and a shop share in these tests.
pub const SECRET: &str = "a secret of at least sixteen bytes";

/// Simulators that serve.
pub struct Simulators {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    pub payment: Party,
    pub carrier: Party,
    pub inbox: Party,
    pub smtp: SocketAddr,
}

/// A party's HTTP.
#[derive(Clone)]
pub struct Party {
    pub address: SocketAddr,
    client: Client,
}

/// What a command said before it ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A status, whether it was a replay, and a body (null where it is no JSON).
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub is_replayed: bool,
    pub body: Value,
}

fn command(arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstock-simulators"));
    command
        .args(arguments)
        .env_clear()
        .envs(
            ["PAYMENT", "CARRIER", "SMTP", "INBOX"]
                .map(|party| (format!("BACKSTOCK_{party}_LISTEN"), "127.0.0.1:0")),
        )
        .env("BACKSTOCK_LOG_FORMAT", "json")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub async fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
    let running = command(arguments, settings)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let ended = tokio::time::timeout(DEADLINE, running).await;
    let output = ended.expect("it ends by itself").unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Looks until there is something, and returns it. Panics with `what` at the deadline.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            started.elapsed() < DEADLINE,
            "waited {DEADLINE:?} in vain until {what}"
        );
        // Between two looks: the loop waits for the event, and fails without it.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Simulators {
    /// Returns when they serve. The log says where.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let mut child = command(&[], settings).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        while let Some(line) = log.next_line().await.unwrap() {
            let fields = serde_json::from_str::<Value>(&line).unwrap_or_default()["fields"].take();
            if fields["message"] == "serving" {
                let address = |name: &str| fields[name].as_str().unwrap().parse().unwrap();
                // So that an answer that never comes fails a test, and doesn't hang it.
                let client = Client::builder().timeout(DEADLINE).build().unwrap();
                let party = |name: &str| Party {
                    address: address(name),
                    client: client.clone(),
                };
                return Self {
                    child,
                    log,
                    payment: party("payment_listen"),
                    carrier: party("carrier_listen"),
                    inbox: party("inbox_listen"),
                    smtp: address("smtp_listen"),
                };
            }
            seen.extend([&line, "\n"]);
        }
        panic!("it ended before it served:\n{seen}");
    }

    /// Asks them to stop, as an orchestrator does.
    pub async fn terminate(&self) {
        let pid = self.child.id().unwrap().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(killed.unwrap().success());
    }

    /// How they ended, and what they logged meanwhile.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let mut log = String::new();
        while let Some(line) = self.log.next_line().await.unwrap() {
            log.extend([&line, "\n"]);
        }
        (self.child.wait().await.unwrap(), log)
    }
}

impl Party {
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

    /// Posts a body under a key. An error is a connection that was closed, or a client that waited too long.
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

/// What a shop asks the gateway for.
pub fn payment(token: &str, reference: &str) -> Value {
    json!({ "amount": 1299, "currency": "EUR", "payment_token": token, "reference": reference })
}

/// What a shop asks the carrier for.
pub fn parcel(reference: &str) -> Value {
    json!({
        "reference": reference,
        "service": "express",
        "address": {
            "name": "Ada Lovelace", "line1": "1 Analytical Way", "city": "Bonn", "postal_code": "53111", "country": "DE",
        },
    })
}
