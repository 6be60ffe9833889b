//! Runs the real binary, as an operator does.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::LazyLock;
use std::time::Duration;

use child_process::ChildProcess;
pub use child_process::CommandOutput;
use reqwest::redirect::Policy;
use serde_json::Value;

use super::database::Database;
use super::response::TestResponse;
use super::servers::servers;
use super::shop::SECRETS;

/// A timeout far above the duration of a shutdown.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A service that is ready.
pub struct Process {
    child: ChildProcess,
    pub public: SocketAddr,
    pub internal: SocketAddr,
}

/// A service that is starting.
pub struct StartingProcess(ChildProcess);

/// The minimal settings for a service with this database.
pub fn settings(database: &Database) -> Vec<(&'static str, String)> {
    vec![
        ("BACKSTOCK_DATABASE_URL", database.url()),
        ("BACKSTOCK_DATABASE_CONNECTIONS", "2".to_owned()),
        // Generous, because the machine may be busy.
        ("BACKSTOCK_DATABASE_READ_STATEMENT_TIMEOUT_MS", "20000".to_owned()),
        ("BACKSTOCK_DATABASE_LOCK_TIMEOUT_MS", "20000".to_owned()),
        ("BACKSTOCK_REDIS_URL", servers().redis_url.clone()),
        ("BACKSTOCK_REDIS_PREFIX", format!("{}:", database.name())),
        ("BACKSTOCK_JWT_SECRETS", SECRETS.to_owned()),
        ("BACKSTOCK_LISTEN", "127.0.0.1:0".to_owned()),
        ("BACKSTOCK_INTERNAL_LISTEN", "127.0.0.1:0".to_owned()),
        ("BACKSTOCK_LOG_FORMAT", "json".to_owned()),
    ]
}

fn command(program: &str, arguments: &[&str], settings: &[(&str, String)]) -> Command {
    let mut command = child_process::command(Path::new(program));
    command
        .args(arguments)
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
    command
}

/// Runs a command until it exits.
pub async fn run(arguments: &[&str], settings: &[(&str, String)]) -> CommandOutput {
    let api = env!("CARGO_BIN_EXE_backstock-api");
    child_process::run(command(api, arguments, settings)).await
}

impl Process {
    /// Starts a service and waits until it is ready. Its addresses come from the log.
    pub async fn serve(settings: &[(&str, String)]) -> Self {
        StartingProcess::spawn(settings).ready().await
    }

    pub async fn get(&self, path: &str) -> TestResponse {
        get(self.public, path).await.expect("a complete response")
    }

    /// Sends SIGTERM, as an orchestrator does.
    pub fn terminate(&self) {
        self.child.terminate();
    }

    /// Waits until it exits. Returns the exit status and the rest of the log.
    pub async fn wait(self) -> (ExitStatus, String) {
        StartingProcess(self.child).wait().await
    }
}

impl StartingProcess {
    pub fn spawn(settings: &[(&str, String)]) -> Self {
        let api = env!("CARGO_BIN_EXE_backstock-api");
        Self(ChildProcess::start_captured("the api", command(api, &["serve"], settings)).unwrap())
    }

    /// Passes it a listening socket with systemd's socket activation protocol: as file descriptor 3, with
    /// `LISTEN_PID` set to the pid of the shell, which the service keeps after `exec`.
    pub fn spawn_on(socket: &TcpListener, settings: &[(&str, String)]) -> Self {
        let exec_with_socket = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve";
        let arguments = ["-c", exec_with_socket, env!("CARGO_BIN_EXE_backstock-api")];
        let mut shell = command("/bin/sh", &arguments, settings);
        shell.stdin(OwnedFd::from(socket.try_clone().unwrap()));
        Self(ChildProcess::start_captured("the api", shell).unwrap())
    }

    /// Reads its log up to the line with this message, and returns the fields of that line.
    pub async fn logged(&mut self, message: &str) -> Value {
        self.0.next_logged(message).await
    }

    /// Waits until it is ready. Its addresses come from the log.
    pub async fn ready(mut self) -> Process {
        let fields = self.logged("serving").await;
        let address = |name: &str| fields[name].as_str().unwrap().parse().unwrap();
        Process {
            public: address("listen"),
            internal: address("internal_listen"),
            child: self.0,
        }
    }

    pub fn terminate(&self) {
        self.0.terminate();
    }

    /// Waits until it exits. Returns the exit status and the rest of the log.
    pub async fn wait(self) -> (ExitStatus, String) {
        let status = tokio::time::timeout(TIMEOUT, self.0.exited()).await;
        (status.expect("the process exits"), self.0.rest_of_log())
    }
}

/// Sends one request over a new connection. `None` if the connection is refused or the response incomplete.
pub async fn get(address: SocketAddr, path: &str) -> Option<TestResponse> {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .pool_max_idle_per_host(0);
        client.build().unwrap()
    });
    let response = CLIENT.get(format!("http://{address}{path}")).send().await.ok()?;
    Some(TestResponse {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.bytes().await.ok()?.to_vec(),
    })
}
