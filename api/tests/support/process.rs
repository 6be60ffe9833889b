//! Runs the real binary, as an operator does.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};

use super::database::Database;
use super::response::TestResponse;
use super::servers::servers;
use super::shop::SECRETS;

/// A timeout far above the duration of any command. A command that serves although it should fail never ends.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A service that is ready.
pub struct Process {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    pub public: SocketAddr,
    pub internal: SocketAddr,
}

/// A service that is starting.
pub struct StartingProcess {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

/// The output and exit code of a command.
pub struct CommandOutput {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

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

fn command(arguments: &[&str], settings: &[(&str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstock-api"));
    command
        .args(arguments)
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (*name, value.as_str())))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command until it exits.
pub async fn run(arguments: &[&str], settings: &[(&str, String)]) -> CommandOutput {
    let running = command(arguments, settings)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let ended = tokio::time::timeout(TIMEOUT, running).await;
    let output = ended.expect("the command exits").unwrap();
    CommandOutput {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
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
    pub async fn terminate(&self) {
        terminate(&self.child).await;
    }

    /// Waits until it exits. Returns the exit status and the rest of the log.
    pub async fn wait(self) -> (ExitStatus, String) {
        wait(self.child, self.log).await
    }
}

impl StartingProcess {
    pub fn spawn(settings: &[(&str, String)]) -> Self {
        Self::from_command(command(&["serve"], settings))
    }

    /// Passes it a listening socket with systemd's socket activation protocol: as file descriptor 3, with
    /// `LISTEN_PID` set to the pid of the shell, which the service keeps after `exec`.
    pub fn spawn_on(socket: &TcpListener, settings: &[(&str, String)]) -> Self {
        let exec_with_socket = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve";
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", exec_with_socket, env!("CARGO_BIN_EXE_backstock-api")])
            .env_clear()
            .envs(settings.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
            .kill_on_drop(true);
        Self::from_command(shell)
    }

    fn from_command(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log }
    }

    /// Reads its log up to the line with this message, and returns the fields of that line.
    pub async fn logged(&mut self, message: &str) -> Value {
        let mut seen = String::new();
        while let Some(line) = self.log.next_line().await.unwrap() {
            let fields = serde_json::from_str::<Value>(&line).unwrap_or_default()["fields"].take();
            if fields["message"] == message {
                return fields;
            }
            seen.extend([&line, "\n"]);
        }
        panic!("it exited before it logged `{message}`:\n{seen}");
    }

    /// Waits until it is ready. Its addresses come from the log.
    pub async fn ready(mut self) -> Process {
        let fields = self.logged("serving").await;
        let address = |name: &str| fields[name].as_str().unwrap().parse().unwrap();
        Process {
            child: self.child,
            log: self.log,
            public: address("listen"),
            internal: address("internal_listen"),
        }
    }

    pub async fn terminate(&self) {
        terminate(&self.child).await;
    }

    /// Waits until it exits. Returns the exit status and the rest of the log.
    pub async fn wait(self) -> (ExitStatus, String) {
        wait(self.child, self.log).await
    }
}

async fn terminate(child: &Child) {
    let pid = child.id().unwrap().to_string();
    let killed = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(killed.unwrap().success());
}

async fn wait(mut child: Child, mut lines: Lines<BufReader<ChildStderr>>) -> (ExitStatus, String) {
    let reading = async {
        let mut log = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            log.extend([&line, "\n"]);
        }
        (child.wait().await.unwrap(), log)
    };
    tokio::time::timeout(TIMEOUT, reading)
        .await
        .expect("the process exits")
}

/// Sends one request over a new connection. `None` if the connection is refused or the response incomplete.
pub async fn get(address: SocketAddr, path: &str) -> Option<TestResponse> {
    let mut connection = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).await.ok()?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse::<u16>().ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        headers.append(
            HeaderName::try_from(name).ok()?,
            HeaderValue::from_str(value).ok()?,
        );
    }
    let body = bytes[end + 4..].to_vec();
    let is_complete = headers
        .get("content-length")
        .is_none_or(|length| length == &body.len().to_string());
    is_complete.then_some(TestResponse {
        status: StatusCode::from_u16(status).ok()?,
        headers,
        body,
    })
}
