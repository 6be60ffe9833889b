//! The shops' processes: started, waited for until ready, stopped in an orderly way.
//!
//! Each is in a process group of its own: a Ctrl-C in the terminal reaches only us, and we pass it on. Should we be
//! killed, the kernel sends each its SIGTERM (`setpriv --pdeathsig`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use local_services::home;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::side::Side;

/// How long the processes may take to be ready, and to stop. They finish requests in flight first.
const DEADLINE: Duration = Duration::from_secs(30);

/// Lines of a dead process's log that are shown.
const LAST_LINES: usize = 12;

/// Why `run` returned.
pub(crate) enum Ended {
    /// By Ctrl-C or SIGTERM.
    Asked,
    /// A process died; what it said last.
    Died { words: String },
}

/// The running processes.
#[derive(Default)]
pub(crate) struct Children {
    running: Vec<Running>,
    exits: JoinSet<(Pid, ExitStatus)>,
}

struct Running {
    name: String,
    pid: Pid,
    log: PathBuf,
    internal_port: u16,
}

impl Children {
    /// Starts a shop's `api` or `worker`.
    pub(crate) fn start(
        &mut self,
        programs: &Path,
        side: Side,
        program: &str,
        environment: &[(&str, String)],
    ) -> Result<()> {
        let name = format!("{program}-{}", side.name());
        let log = home()?.join("logs").join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let internal_port = side.internal_port(program);
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(programs.join(format!("backstock-{program}")))
            .args((program == "api").then_some("serve"))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("BACKSTOCK_INTERNAL_LISTEN", format!("127.0.0.1:{internal_port}"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = child
            .id()
            .and_then(|pid| Pid::from_raw(pid.cast_signed()))
            .context("a child without an id")?;
        self.exits.spawn(async move {
            let status = child
                .wait()
                .await
                .expect("a child that we have started can be waited for");
            (pid, status)
        });
        self.running.push(Running {
            name,
            pid,
            log,
            internal_port,
        });
        Ok(())
    }

    /// Returns when asked to, or when a process dies; calls `when_ready` once all are ready.
    pub(crate) async fn run(&mut self, when_ready: impl FnOnce()) -> Result<Ended> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let ports: Vec<u16> = self.running.iter().map(|child| child.internal_port).collect();
        let ready = async {
            if timeout(DEADLINE, all_ready(&ports)).await.is_ok() {
                when_ready();
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = terminate.recv() => Ok(Ended::Asked),
            _ = interrupt.recv() => Ok(Ended::Asked),
            _ = hang_up.recv() => Ok(Ended::Asked),
            Some(exit) = self.exits.join_next() => {
                let (pid, status) = exit?;
                Ok(Ended::Died { words: self.remove(pid, status) })
            }
            () = ready => bail!(
                "the shops were not ready within {} s; their logs are in {}",
                DEADLINE.as_secs(),
                home()?.join("logs").display()
            ),
        }
    }

    fn remove(&mut self, pid: Pid, status: ExitStatus) -> String {
        let Some(index) = self.running.iter().position(|child| child.pid == pid) else {
            return format!("process {pid:?} ended ({status})");
        };
        let child = self.running.swap_remove(index);
        let text = fs::read_to_string(&child.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        format!(
            "{} ended ({status}). The end of {}:\n{last}",
            child.name,
            child.log.display()
        )
    }

    /// Asks all to stop, and kills those that do not.
    pub(crate) async fn stop(&mut self) {
        self.signal_all(Signal::TERM);
        let all_ended = async {
            while let Some(exit) = self.exits.join_next().await {
                if let Ok((pid, _)) = exit {
                    self.running.retain(|child| child.pid != pid);
                }
            }
        };
        if timeout(DEADLINE, all_ended).await.is_err() {
            for child in &self.running {
                eprintln!(
                    "{} did not stop within {} s and is killed",
                    child.name,
                    DEADLINE.as_secs()
                );
            }
            self.signal_all(Signal::KILL);
        }
    }

    fn signal_all(&self, signal: Signal) {
        for child in &self.running {
            let _ = kill_process(child.pid, signal); // It may have ended this moment.
        }
    }
}

async fn all_ready(ports: &[u16]) {
    for port in ports {
        while !is_ready(*port).await.unwrap_or(false) {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn is_ready(port: u16) -> Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}
