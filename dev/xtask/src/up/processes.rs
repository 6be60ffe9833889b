//! The processes of the shops and of the simulated third parties: start, readiness, graceful shutdown.
//!
//! Each has its own process group, so Ctrl-C reaches only `up`, which then stops them in order. If `up` is killed, the
//! kernel sends each a SIGTERM (`setpriv --pdeathsig`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use local_services::home_dir;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{http, third_parties};

/// The timeout of start-up, and of the graceful shutdown.
const DEADLINE: Duration = Duration::from_secs(30);

/// The number of log lines that are shown of a process that died.
const LAST_LINES: usize = 12;

/// How to start a process.
pub(crate) struct ProcessSpec {
    /// Also the name of its log.
    pub(crate) name: String,
    pub(crate) program: &'static str,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) health: Health,
}

/// A readiness endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Health {
    pub(crate) port: u16,
    pub(crate) path: &'static str,
}

/// Why `run` returned.
pub(crate) enum ExitReason {
    /// By Ctrl-C or SIGTERM.
    Requested,
    /// A process died. The message contains the end of its log.
    Died { message: String },
}

/// The running processes.
#[derive(Default)]
pub(crate) struct Processes {
    running: Vec<RunningProcess>,
    exits: JoinSet<(Pid, ExitStatus)>,
}

struct RunningProcess {
    name: String,
    pid: Pid,
    log: PathBuf,
    health: Health,
}

impl Processes {
    /// Starts a process, whose program is in the directory `programs`.
    pub(crate) fn start(&mut self, programs: &Path, child: ProcessSpec) -> Result<()> {
        let ProcessSpec {
            name,
            program,
            arguments,
            environment,
            health,
        } = child;
        let log = home_dir()?.join("logs").join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(programs.join(program))
            .args(arguments)
            .envs(environment)
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
            let status = child.wait().await.expect("a started child can be waited for");
            (pid, status)
        });
        self.running.push(RunningProcess {
            name,
            pid,
            log,
            health,
        });
        Ok(())
    }

    /// Runs `when_ready` once all processes are ready. Returns on a signal, or when a process dies.
    pub(crate) async fn run(&mut self, when_ready: impl AsyncFnOnce()) -> Result<ExitReason> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let checks: Vec<Health> = self.running.iter().map(|child| child.health).collect();
        let ready = async {
            if timeout(DEADLINE, all_ready(&checks)).await.is_ok() {
                when_ready().await;
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = terminate.recv() => Ok(ExitReason::Requested),
            _ = interrupt.recv() => Ok(ExitReason::Requested),
            _ = hang_up.recv() => Ok(ExitReason::Requested),
            Some(exit) = self.exits.join_next() => {
                let (pid, status) = exit?;
                Ok(ExitReason::Died { message: self.remove(pid, status) })
            }
            () = ready => bail!(
                "the shops were not ready within {} s; their logs are in {}",
                DEADLINE.as_secs(),
                home_dir()?.join("logs").display()
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

    /// Stops all processes, and kills those that exceed the timeout. The third parties stop last, because draining workers
    /// still need them.
    pub(crate) async fn stop(&mut self) {
        self.stop_matching(|name| name != third_parties::NAME).await;
        self.stop_matching(|_| true).await;
    }

    async fn stop_matching(&mut self, matches: fn(&str) -> bool) {
        self.signal(matches, Signal::TERM);
        let all_ended = async {
            while self.running.iter().any(|child| matches(&child.name)) {
                let Some(exit) = self.exits.join_next().await else {
                    break;
                };
                if let Ok((pid, _)) = exit {
                    self.running.retain(|child| child.pid != pid);
                }
            }
        };
        if timeout(DEADLINE, all_ended).await.is_err() {
            for child in self.running.iter().filter(|child| matches(&child.name)) {
                eprintln!(
                    "{} did not stop within {} s and was killed",
                    child.name,
                    DEADLINE.as_secs()
                );
            }
            self.signal(matches, Signal::KILL);
        }
    }

    fn signal(&self, matches: fn(&str) -> bool, signal: Signal) {
        for child in self.running.iter().filter(|child| matches(&child.name)) {
            let _ = kill_process(child.pid, signal); // Fails if it has just exited.
        }
    }
}

async fn all_ready(checks: &[Health]) {
    for Health { port, path } in checks {
        while !matches!(http::get(*port, path).await, Ok(200)) {
            sleep(Duration::from_millis(20)).await;
        }
    }
}
