//! The processes of the shops and of their third parties: started, waited for until ready, stopped in an orderly way.
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
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{http, third_parties};

/// How long the processes may take to be ready, and to stop. They finish requests in flight first.
const DEADLINE: Duration = Duration::from_secs(30);

/// Lines of a dead process's log that are shown.
const LAST_LINES: usize = 12;

/// A process to start.
pub(crate) struct Child {
    /// Also the name of its log.
    pub(crate) name: String,
    pub(crate) program: &'static str,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) health: Health,
}

/// What answers 200 once a process can do its work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Health {
    pub(crate) port: u16,
    pub(crate) path: &'static str,
}

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
    health: Health,
}

impl Children {
    /// Starts a process; its program is in the folder `programs`.
    pub(crate) fn start(&mut self, programs: &Path, child: Child) -> Result<()> {
        let Child {
            name,
            program,
            arguments,
            environment,
            health,
        } = child;
        let log = home()?.join("logs").join(format!("{name}.log"));
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
            health,
        });
        Ok(())
    }

    /// Returns when asked to, or when a process dies; does `when_ready` once all are ready.
    pub(crate) async fn run(&mut self, when_ready: impl AsyncFnOnce()) -> Result<Ended> {
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

    /// Asks all to stop, and kills those that do not. The third parties come last: what a worker finishes before it ends
    /// needs them.
    pub(crate) async fn stop(&mut self) {
        self.stop_those(|name| name != third_parties::NAME).await;
        self.stop_those(|_| true).await;
    }

    async fn stop_those(&mut self, chosen: fn(&str) -> bool) {
        self.signal(chosen, Signal::TERM);
        let all_ended = async {
            while self.running.iter().any(|child| chosen(&child.name)) {
                let Some(exit) = self.exits.join_next().await else {
                    break;
                };
                if let Ok((pid, _)) = exit {
                    self.running.retain(|child| child.pid != pid);
                }
            }
        };
        if timeout(DEADLINE, all_ended).await.is_err() {
            for child in self.running.iter().filter(|child| chosen(&child.name)) {
                eprintln!(
                    "{} did not stop within {} s and is killed",
                    child.name,
                    DEADLINE.as_secs()
                );
            }
            self.signal(chosen, Signal::KILL);
        }
    }

    fn signal(&self, chosen: fn(&str) -> bool, signal: Signal) {
        for child in self.running.iter().filter(|child| chosen(&child.name)) {
            let _ = kill_process(child.pid, signal); // It may have ended this moment.
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
