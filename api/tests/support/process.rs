//! The real binary, as an operator runs it.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};

use super::answer::Answer;
use super::database::Database;
use super::servers::servers;
use super::shop::SECRETS;

/// How long a command may take: far above what any takes, for one that serves where it should refuse never ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service that serves.
pub struct Process {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    pub public: SocketAddr,
    pub internal: SocketAddr,
}

/// A service that doesn't serve yet.
pub struct Starting {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

/// What a command said before it ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The settings that a service needs to serve the database.
pub fn settings(database: &Database) -> Vec<(&'static str, String)> {
    vec![
        ("BACKSTOCK_DATABASE_URL", database.url()),
        ("BACKSTOCK_DATABASE_CONNECTIONS", "2".to_owned()),
        // Far more than a busy machine needs.
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

/// Runs a command to its end.
pub async fn run(arguments: &[&str], settings: &[(&str, String)]) -> Ended {
    let running = command(arguments, settings)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let ended = tokio::time::timeout(PATIENCE, running).await;
    let output = ended.expect("it ends by itself").unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Process {
    /// Returns when it serves. The log says where.
    pub async fn serve(settings: &[(&str, String)]) -> Self {
        Starting::spawn(settings).served().await
    }

    pub async fn get(&self, path: &str) -> Answer {
        get(self.public, path).await.expect("an answer")
    }

    /// Asks it to stop, as an orchestrator does.
    pub async fn terminate(&self) {
        terminate(&self.child).await;
    }

    /// How it ended, and what it logged meanwhile.
    pub async fn ended(self) -> (ExitStatus, String) {
        ended(self.child, self.log).await
    }
}

impl Starting {
    pub fn spawn(settings: &[(&str, String)]) -> Self {
        Self::of(command(&["serve"], settings))
    }

    /// Hands it a listening socket, by systemd's protocol: as descriptor 3, and under the process id that the shell has
    /// before it becomes the service.
    pub fn spawn_on(socket: &TcpListener, settings: &[(&str, String)]) -> Self {
        let hand_over = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve";
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", hand_over, env!("CARGO_BIN_EXE_backstock-api")])
            .env_clear()
            .envs(settings.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
            .kill_on_drop(true);
        Self::of(shell)
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log }
    }

    /// Reads its log up to a line with this message, and returns that line's fields.
    pub async fn said(&mut self, message: &str) -> Value {
        let mut seen = String::new();
        while let Some(line) = self.log.next_line().await.unwrap() {
            let fields = serde_json::from_str::<Value>(&line).unwrap_or_default()["fields"].take();
            if fields["message"] == message {
                return fields;
            }
            seen.extend([&line, "\n"]);
        }
        panic!("it ended before it said `{message}`:\n{seen}");
    }

    /// Returns when it serves. The log says where.
    pub async fn served(mut self) -> Process {
        let fields = self.said("serving").await;
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

    /// How it ended, and what it logged meanwhile.
    pub async fn ended(self) -> (ExitStatus, String) {
        ended(self.child, self.log).await
    }
}

async fn terminate(child: &Child) {
    let pid = child.id().unwrap().to_string();
    let killed = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(killed.unwrap().success());
}

async fn ended(mut child: Child, mut lines: Lines<BufReader<ChildStderr>>) -> (ExitStatus, String) {
    let reading = async {
        let mut log = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            log.extend([&line, "\n"]);
        }
        (child.wait().await.unwrap(), log)
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("it ends")
}

/// One request over a connection of its own. `None` when there is nobody, or no whole answer.
pub async fn get(address: SocketAddr, path: &str) -> Option<Answer> {
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
    let whole = headers
        .get("content-length")
        .is_none_or(|length| length == &body.len().to_string());
    whole.then_some(Answer {
        status: StatusCode::from_u16(status).ok()?,
        headers,
        body,
    })
}
