//! The simulators of the third parties in their own process, on ports that the OS chooses.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The secret that signs the webhooks of the carrier.
pub const CARRIER_SECRET: &str = "a secret of the carrier's";

pub struct Simulators {
    _child: Child,
    pub payment: String,
    pub carrier: String,
    pub smtp: String,
    pub inbox: String,
}

impl Simulators {
    /// Cargo passes a test no path to the binary of another package, so this expects it next to the api's.
    pub async fn start() -> Self {
        let binary =
            PathBuf::from(env!("CARGO_BIN_EXE_backstock-api")).with_file_name("backstock-simulators");
        assert!(
            binary.exists(),
            "{} is missing: cargo build --package simulators",
            binary.display()
        );
        let mut command = Command::new(binary);
        for listener in ["PAYMENT", "CARRIER", "SMTP", "INBOX"] {
            command.env(format!("BACKSTOCK_{listener}_LISTEN"), "127.0.0.1:0");
        }
        let mut child = command
            .env("BACKSTOCK_CARRIER_SECRET", CARRIER_SECRET)
            .env("BACKSTOCK_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        while let Some(line) = log.next_line().await.unwrap() {
            let fields = serde_json::from_str::<Value>(&line).unwrap_or_default()["fields"].take();
            if fields["message"] == "serving" {
                let address = |name: &str| fields[name].as_str().unwrap().to_owned();
                let simulators = Self {
                    _child: child,
                    payment: format!("http://{}", address("payment_listen")),
                    carrier: format!("http://{}", address("carrier_listen")),
                    smtp: format!("smtp://{}", address("smtp_listen")),
                    inbox: address("inbox_listen"),
                };
                // Keeps draining the log, because a full pipe would block the process.
                tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
                return simulators;
            }
            seen.extend([&line, "\n"]);
        }
        panic!("the simulators exited before they were ready:\n{seen}");
    }

    /// The JSON that a simulator returns for a `GET`.
    pub async fn get(address: &str, path: &str) -> Value {
        let address = address.trim_start_matches("http://");
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        connection.read_to_string(&mut response).await.unwrap();
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {response}"))
    }
}
