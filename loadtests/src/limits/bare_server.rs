//! What HTTP itself costs here: an axum route that serves given bytes, or gets them from Redis, and does nothing else.
//!
//! It runs as a child process of the lab (`backstock-lab bare-server`, hidden), with the runtime and the socket options
//! of the api, so that CPU and scheduling are comparable.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use child_process::ChildProcess;
use clap::{Args, ValueEnum};
use redis::AsyncCommands;
use redis::aio::ConnectionManager;

use crate::load::{Fetched, Request, Target, fetch};
use crate::shop::{free_addresses, program};

/// How long the child may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Headers that the server itself writes for each answer.
const WRITTEN_BY_SERVER: [&str; 4] = ["content-length", "transfer-encoding", "connection", "date"];

/// What a bare route does for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BareRoute {
    /// Answers 200 without a body.
    Empty,
    /// Answers with the bytes of a file.
    Bytes,
    /// Gets the bytes from a key in Redis.
    Redis,
}

impl BareRoute {
    const fn name(self) -> &'static str {
        match self {
            BareRoute::Empty => "empty",
            BareRoute::Bytes => "bytes",
            BareRoute::Redis => "redis",
        }
    }
}

/// Serve one route that does next to nothing
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Command {
    /// What the route does
    #[arg(long)]
    pub mode: BareRoute,
    /// Where to listen
    #[arg(long)]
    pub listen: SocketAddr,
    /// The body, for `bytes`
    #[arg(long, required_if_eq("mode", "bytes"))]
    pub file: Option<PathBuf>,
    /// A file of headers, a line each
    #[arg(long)]
    pub headers: Option<PathBuf>,
    /// The server, for `redis`
    #[arg(long, required_if_eq("mode", "redis"))]
    pub redis_url: Option<String>,
    /// The key, for `redis`
    #[arg(long, required_if_eq("mode", "redis"))]
    pub key: Option<String>,
}

impl Command {
    /// Serves until it is killed.
    pub async fn run(self) -> Result<()> {
        let headers = match &self.headers {
            Some(path) => parse_headers(&std::fs::read_to_string(path)?)?,
            None => HeaderMap::new(),
        };
        let router = match (self.mode, self.file, self.redis_url, self.key) {
            (BareRoute::Bytes, Some(file), _, _) => bytes_route(Bytes::from(std::fs::read(file)?), headers),
            (BareRoute::Redis, _, Some(url), Some(key)) => redis_route(&url, key, headers).await?,
            _ => Router::new().fallback(get(async || StatusCode::OK)),
        };
        let listener = tokio::net::TcpListener::bind(self.listen)
            .await?
            .tap_io(|connection| {
                // Without it the measured limit is Nagle's, not the server's; the answers say so if it failed.
                let _ = connection.set_nodelay(true);
            });
        axum::serve(listener, router).await?;
        Ok(())
    }
}

fn bytes_route(body: Bytes, headers: HeaderMap) -> Router {
    let answer = move || {
        let answer = (headers.clone(), body.clone());
        async { answer }
    };
    Router::new().fallback(get(answer))
}

async fn redis_route(url: &str, key: String, headers: HeaderMap) -> Result<Router> {
    let manager = ConnectionManager::new(redis::Client::open(url)?).await?;
    let key: Arc<str> = key.into();
    let answer = move || {
        let (mut manager, key, headers) = (manager.clone(), Arc::clone(&key), headers.clone());
        async move {
            match manager.get::<_, Option<Vec<u8>>>(&*key).await {
                Ok(Some(body)) => Ok((headers, Bytes::from(body))),
                // The lab counts it as a failed request and says so.
                Ok(None) | Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
    };
    Ok(Router::new().fallback(get(answer)))
}

/// A running bare server. Dropping it ends the process.
#[derive(Debug)]
pub struct BareServer {
    target: Target,
    _process: ChildProcess,
    _directory: Directory,
}

impl BareServer {
    /// A route that answers 200 and nothing else. `lab` is the lab's own binary.
    pub async fn empty(lab: &Path) -> Result<BareServer> {
        BareServer::start(lab, BareRoute::Empty, None, Vec::new()).await
    }

    /// A route that gives this answer's body and headers from memory.
    pub async fn bytes(lab: &Path, answer: &Fetched) -> Result<BareServer> {
        BareServer::start(lab, BareRoute::Bytes, Some(answer), Vec::new()).await
    }

    /// A route that gives this answer's headers and, as the body, what a key in Redis holds.
    pub async fn redis(lab: &Path, answer: &Fetched, redis_url: &str, key: &str) -> Result<BareServer> {
        let arguments = ["--redis-url", redis_url, "--key", key]
            .map(str::to_owned)
            .to_vec();
        BareServer::start(lab, BareRoute::Redis, Some(answer), arguments).await
    }

    async fn start(
        lab: &Path,
        route: BareRoute,
        answer: Option<&Fetched>,
        further: Vec<String>,
    ) -> Result<BareServer> {
        let directory = Directory::make()?;
        let [address, _] = free_addresses()?;
        let mut command = program(lab);
        command
            .args(["bare-server", "--mode", route.name()])
            .args(["--listen", &address.to_string()])
            .args(further);
        if let Some(answer) = answer {
            let (body, headers) = (directory.0.join("body"), directory.0.join("headers"));
            std::fs::write(&body, &answer.body)?;
            std::fs::write(&headers, print_headers(&answer.headers)?)?;
            command.arg("--file").arg(body).arg("--headers").arg(headers);
        }
        let process = ChildProcess::start("the bare server", command, &directory.0.join("log"))?;
        let (target, request) = (Target::new(address), Request::get("/")?);
        let is_ready = || async {
            matches!(fetch(&target, &request).await, Ok(answer) if answer.status == StatusCode::OK)
        };
        process.wait_until_ready(START_PATIENCE, is_ready).await?;
        Ok(BareServer {
            target,
            _process: process,
            _directory: directory,
        })
    }

    /// The server as a target of load.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

fn print_headers(headers: &HeaderMap) -> Result<String> {
    let mut lines = String::new();
    for (name, value) in headers {
        if !WRITTEN_BY_SERVER.contains(&name.as_str()) {
            let value = value
                .to_str()
                .with_context(|| format!("the header {name} is no text"))?;
            lines.push_str(&format!("{name}: {value}\n"));
        }
    }
    Ok(lines)
}

fn parse_headers(lines: &str) -> Result<HeaderMap> {
    let parse = |line: &str| {
        let (name, value) = line.split_once(": ").context("a header is `name: value`")?;
        Ok((name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?))
    };
    lines.lines().map(parse).collect()
}

/// A directory that is removed with this value.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn make() -> Result<Directory> {
        let path = std::env::temp_dir().join(format!("backstock-bare-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&path).context("cannot make a directory for the bare server")?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What stays behind is small, and in the system's directory for such.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_their_file_but_for_the_servers_own() {
        let mut headers = HeaderMap::new();
        headers.insert("etag", HeaderValue::from_static("\"a: b\""));
        headers.append("vary", HeaderValue::from_static("accept-encoding"));
        headers.append("vary", HeaderValue::from_static("origin"));
        let written = headers.clone();
        headers.insert("content-length", HeaderValue::from_static("7"));
        assert_eq!(parse_headers(&print_headers(&headers).unwrap()).unwrap(), written);
    }
}
