//! A worker process, started as an operator starts it.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Far above the time that any command takes.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Short, to keep the tests short.
pub const RETRY_DELAYS_MS: [u32; 2] = [100, 300];

pub struct Worker {
    child: Child,
    internal: String,
    log: Arc<Mutex<Vec<String>>>,
}

/// The result of a command.
pub struct CommandOutput {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CommandOutput {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|_| panic!("no JSON: {} {}", self.stdout, self.stderr))
    }
}

pub fn command(settings: &[(&str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstock-worker"));
    command
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (*name, value.as_str())))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command until it exits.
pub async fn run(arguments: &[&str], settings: &[(&str, String)]) -> CommandOutput {
    let running = command(settings)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let output = tokio::time::timeout(COMMAND_TIMEOUT, running)
        .await
        .expect("it ends by itself")
        .unwrap();
    CommandOutput {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Worker {
    /// Returns when the worker is ready.
    pub async fn start(settings: &[(&str, String)]) -> Self {
        let mut child = command(settings).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let internal = loop {
            let line = lines.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("it did not start: {:?}", log.lock().unwrap()));
            let fields: Value = serde_json::from_str(&line).unwrap_or_default();
            log.lock().unwrap().push(line);
            if fields["fields"]["message"] == "working" {
                break fields["fields"]["internal_listen"].as_str().unwrap().to_owned();
            }
        };
        let rest = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                rest.lock().unwrap().push(line);
            }
        });
        Self { child, internal, log }
    }

    /// The address of the internal listener.
    pub fn internal(&self) -> &str {
        &self.internal
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Kills the process.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Shuts the worker down gracefully, and returns its exit code.
    pub async fn stop(mut self) -> Option<i32> {
        let killed = Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()
            .await;
        assert!(killed.unwrap().success());
        let status = tokio::time::timeout(COMMAND_TIMEOUT, self.child.wait())
            .await
            .expect("it ends")
            .unwrap();
        status.code()
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// A GET request to the internal listener.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("http://{}{path}", self.internal))
            .await
            .unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The sum of a counter over all series with these labels, for example `consumer="popularity"`. 0 when
    /// there is none.
    pub async fn counter(&self, name: &str, labels: &[&str]) -> u64 {
        let (_, metrics) = self.get("/metrics").await;
        let has_all = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
        let value = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
        metrics.lines().filter(has_all).filter_map(value).sum()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the worker's log:\n{}", self.log());
        }
    }
}
