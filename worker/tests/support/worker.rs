//! A worker process, started as an operator starts it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use child_process::ChildProcess;
pub use child_process::CommandOutput;

/// Far above the duration of a shutdown.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Short, to keep the tests short.
pub const RETRY_DELAYS_MS: [u32; 2] = [100, 300];

pub struct Worker {
    child: ChildProcess,
    internal: String,
}

pub fn command(settings: &[(&str, String)]) -> Command {
    let mut command = child_process::command(Path::new(env!("CARGO_BIN_EXE_backstock-worker")));
    command
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
    command
}

/// Runs a command until it exits.
pub async fn run(arguments: &[&str], settings: &[(&str, String)]) -> CommandOutput {
    let mut command = command(settings);
    command.args(arguments);
    child_process::run(command).await
}

impl Worker {
    /// Returns when the worker is ready.
    pub async fn start(settings: &[(&str, String)]) -> Self {
        let mut child = ChildProcess::start_captured("the worker", command(settings)).unwrap();
        let fields = child.next_logged("working").await;
        let internal = fields["internal_listen"].as_str().unwrap().to_owned();
        Self { child, internal }
    }

    /// The address of the internal listener.
    pub fn internal(&self) -> &str {
        &self.internal
    }

    /// Kills the process, as `kill -9` does.
    pub fn kill(self) {}

    /// Shuts the worker down gracefully, and returns its exit code.
    pub async fn stop(self) -> Option<i32> {
        self.child.terminate();
        let status = tokio::time::timeout(STOP_PATIENCE, self.child.exited()).await;
        status.expect("it ends").code()
    }

    pub fn log(&self) -> String {
        self.child.log()
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
