//! The simulators of the third parties in their own process, on ports that the OS chooses.

use child_process::{ChildProcess, sibling_program};
use serde_json::Value;

/// The secret that signs the webhooks of the carrier.
pub const CARRIER_SECRET: &str = "a secret of the carrier's";

pub struct Simulators {
    _child: ChildProcess,
    pub payment: String,
    pub carrier: String,
    pub smtp: String,
    pub inbox: String,
}

impl Simulators {
    pub async fn start() -> Self {
        let api = env!("CARGO_BIN_EXE_backstock-api");
        let binary = sibling_program(api, "simulators", "backstock-simulators");
        let mut command = child_process::command(&binary);
        for listener in ["PAYMENT", "CARRIER", "SMTP", "INBOX"] {
            command.env(format!("BACKSTOCK_{listener}_LISTEN"), "127.0.0.1:0");
        }
        command
            .env("BACKSTOCK_CARRIER_SECRET", CARRIER_SECRET)
            .env("BACKSTOCK_LOG_FORMAT", "json");
        let mut child = ChildProcess::start_captured("simulators", command).unwrap();
        let fields = child.next_logged("serving").await;
        let url = |scheme: &str, name: &str| format!("{scheme}://{}", fields[name].as_str().unwrap());
        Self {
            _child: child,
            payment: url("http", "payment_listen"),
            carrier: url("http", "carrier_listen"),
            smtp: url("smtp", "smtp_listen"),
            inbox: url("http", "inbox_listen"),
        }
    }

    /// The JSON that a simulator returns for a `GET`.
    pub async fn get(url: &str, path: &str) -> Value {
        let response = reqwest::get(format!("{url}{path}")).await.unwrap();
        response.json().await.unwrap()
    }
}
