//! The third parties: the real simulators, in one process per test.

use std::path::Path;
use std::process::Command;
use std::sync::Once;

use child_process::ChildProcess;
use serde_json::{Value, json};

pub struct Simulators {
    _child: ChildProcess,
    http: reqwest::Client,
    pub payment: String,
    pub carrier: String,
    pub smtp: String,
    pub inbox: String,
}

/// `cargo test -p worker` doesn't build the programs of other packages, so the simulators are built here.
fn build() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "simulators",
                "--bin",
                "backstock-simulators",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(status.unwrap().success(), "the simulators can be built");
    });
}

impl Simulators {
    pub async fn start() -> Self {
        build();
        let program =
            Path::new(env!("CARGO_BIN_EXE_backstock-worker")).with_file_name("backstock-simulators");
        let mut command = child_process::command(&program);
        for service in ["PAYMENT", "CARRIER", "SMTP", "INBOX"] {
            command.env(format!("BACKSTOCK_{service}_LISTEN"), "127.0.0.1:0");
        }
        command
            .env("BACKSTOCK_LOG_FORMAT", "json")
            .env("BACKSTOCK_CARRIER_DELIVER_AFTER_MS", "0");
        let mut child = ChildProcess::start_captured("simulators", command).unwrap();
        let serving = child.next_logged("serving").await;
        let at = |scheme: &str, name: &str| format!("{scheme}://{}", serving[name].as_str().unwrap());
        Self {
            _child: child,
            http: reqwest::Client::new(),
            payment: at("http", "payment_listen"),
            carrier: at("http", "carrier_listen"),
            smtp: at("smtp", "smtp_listen"),
            inbox: at("http", "inbox_listen"),
        }
    }

    /// Sets the faults of a simulated service: its URL, then the body of `/control`.
    pub async fn set_faults(&self, service: &str, faults: Value) {
        let response = self
            .http
            .put(format!("{service}/control"))
            .json(&faults)
            .send()
            .await
            .unwrap();
        assert!(
            response.status().is_success(),
            "{}",
            response.text().await.unwrap()
        );
    }

    pub async fn get(&self, url: String) -> Value {
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    pub async fn payments(&self) -> Value {
        self.get(format!("{}/v1/totals", self.payment)).await
    }

    pub async fn labels(&self) -> Value {
        self.get(format!("{}/v1/totals", self.carrier)).await
    }

    /// The number of received mails.
    pub async fn mail_count(&self) -> i64 {
        let count = self.get(format!("{}/messages/count", self.inbox)).await;
        count["received"].as_i64().unwrap()
    }

    /// The newest mails to an address, with their bodies.
    pub async fn mails_to(&self, address: &str) -> Vec<Value> {
        let list = self
            .get(format!("{}/messages?to={address}&limit=1000", self.inbox))
            .await;
        let mut mails = Vec::new();
        for item in list["items"].as_array().unwrap() {
            let id = item["id"].to_string().replace('"', "");
            mails.push(self.get(format!("{}/messages/{id}", self.inbox)).await);
        }
        mails
    }

    /// Authorizes as the api does, and returns the payment's id.
    pub async fn authorize(&self, order: uuid::Uuid, amount: i64, token: &str) -> Option<String> {
        let body = json!({ "amount": amount, "currency": "EUR", "payment_token": token, "reference": order });
        let request = self.http.post(format!("{}/v1/payments", self.payment));
        let response = request
            .header("idempotency-key", order.to_string())
            .json(&body)
            .send()
            .await
            .unwrap();
        let payment: Value = response.json().await.unwrap();
        payment["id"].as_str().map(str::to_owned)
    }

    /// Voids a payment at the gateway, without the shop's knowledge.
    pub async fn void(&self, payment_id: &str) {
        let url = format!("{}/v1/payments/{payment_id}/void", self.payment);
        let response = self.http.post(url).send().await.unwrap();
        assert!(
            response.status().is_success(),
            "{}",
            response.text().await.unwrap()
        );
    }

    /// The gateway's status of an order's payment.
    pub async fn payment_status(&self, order: uuid::Uuid) -> String {
        let payment = self
            .get(format!("{}/v1/payments?idempotency_key={order}", self.payment))
            .await;
        payment["status"].as_str().unwrap_or("none").to_owned()
    }
}
