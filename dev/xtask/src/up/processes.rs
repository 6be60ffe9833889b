//! The processes of `up`: each with its own log, polled until all are ready, and stopped gracefully.
//!
//! Each has its own process group, so Ctrl-C reaches only `up`, which then stops them in order.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use child_process::ChildProcess;
use local_services::home_dir;
use reqwest::{Client, StatusCode};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::third_parties;

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
    running: Vec<(ChildProcess, Health)>,
}

impl Processes {
    /// Starts a process, whose program is in the directory `programs`.
    pub(crate) fn start(&mut self, programs: &Path, spec: ProcessSpec) -> Result<()> {
        let log = home_dir()?.join("logs").join(format!("{}.log", spec.name));
        let mut command = child_process::command(&programs.join(spec.program));
        command
            .args(spec.arguments)
            .envs(spec.environment)
            .process_group(0);
        let child = ChildProcess::start(&spec.name, command, &log)?;
        self.running.push((child, spec.health));
        Ok(())
    }

    /// Runs `when_ready` once all processes are ready. Returns on a signal, or when a process dies.
    pub(crate) async fn run(&self, when_ready: impl AsyncFnOnce()) -> Result<ExitReason> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let ready = async {
            if timeout(DEADLINE, self.all_ready()).await.is_ok() {
                when_ready().await;
                std::future::pending::<()>().await;
            }
        };
        let mut exits = JoinSet::new();
        for (index, (child, _)) in self.running.iter().enumerate() {
            let exited = child.exited();
            exits.spawn(async move { (index, exited.await) });
        }
        tokio::select! {
            _ = terminate.recv() => Ok(ExitReason::Requested),
            _ = interrupt.recv() => Ok(ExitReason::Requested),
            _ = hang_up.recv() => Ok(ExitReason::Requested),
            Some(exit) = exits.join_next() => {
                let (index, status) = exit?;
                let (child, _) = &self.running[index];
                let log = child.log();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
                let message = format!("{} ended ({status}). The end of its log:\n{last}", child.name());
                Ok(ExitReason::Died { message })
            }
            () = ready => bail!(
                "the shops were not ready within {} s; their logs are in {}",
                DEADLINE.as_secs(),
                home_dir()?.join("logs").display()
            ),
        }
    }

    async fn all_ready(&self) {
        let client = Client::new();
        for (_, Health { port, path }) in &self.running {
            let url = format!("http://127.0.0.1:{port}{path}");
            while !matches!(client.get(&url).send().await, Ok(response) if response.status() == StatusCode::OK)
            {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Stops all processes, and kills those that exceed the timeout. The third parties stop last, because draining workers
    /// still need them.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.drain(..).map(|(child, _)| child);
        let (third_parties, shops) = running.partition(|child| child.name() == third_parties::NAME);
        stop_together(shops).await;
        stop_together(third_parties).await;
    }
}

async fn stop_together(children: Vec<ChildProcess>) {
    let deadline = Instant::now() + DEADLINE;
    children.iter().for_each(ChildProcess::terminate);
    for child in children {
        if timeout_at(deadline, child.exited()).await.is_err() {
            let (name, seconds) = (child.name(), DEADLINE.as_secs());
            eprintln!("{name} did not stop within {seconds} s and was killed");
        }
    }
}
