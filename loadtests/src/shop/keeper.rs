//! Keeps one child process: nobody else waits for it, and it never outlives the lab.
//!
//! The child asks the kernel for a SIGTERM when its parent dies (`setpriv --pdeathsig`, where there is util-linux), so
//! that a lab that was killed leaves no process behind. "Parent" means the *thread* that started it, which is why each
//! child has a thread of its own here that lives exactly as long.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

/// A running child process. Dropping it kills the process and waits until it is gone.
#[derive(Debug)]
pub(crate) struct Keeper {
    pid: u32,
    /// Signals go through this: a process id may belong to somebody else as soon as its process has ended.
    handle: OwnedFd,
    exit: watch::Receiver<Option<ExitStatus>>,
    /// Lives as long as the process. `None` only while it is being dropped.
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the program with its output in the log file.
    pub(crate) fn start(program: Program, log: &Path) -> Result<Keeper> {
        if let Some(directory) = log.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let log_file =
            File::create(log).with_context(|| format!("cannot write the log {}", log.display()))?;
        let (say_exit, exit) = watch::channel(None);
        let (say_started, started) = std::sync::mpsc::channel();
        let keep = move || {
            let child = spawn(&program, log_file);
            let mut child = match child {
                Ok((child, handle)) => {
                    let _ = say_started.send(Ok((child.id(), handle)));
                    child
                }
                Err(error) => {
                    let _ = say_started.send(Err(error));
                    return;
                }
            };
            if let Ok(status) = child.wait() {
                say_exit.send_replace(Some(status));
            }
        };
        let thread = std::thread::Builder::new()
            .name("shop-keeper".to_owned())
            .spawn(keep)?;
        let (pid, handle) = started
            .recv()
            .context("the thread that starts the process has failed")??;
        Ok(Keeper {
            pid,
            handle,
            exit,
            thread: Some(thread),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = self.exit.wait_for(Option::is_some).await;
        let status = status.expect("the keeper's thread says how the process ended before it ends itself");
        status.expect("it was waited for")
    }

    /// Stops the process in its tracks, as long as nobody resumes it.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // An error says that the process has ended.
        let _ = pidfd_send_signal(&self.handle, signal);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn spawn(program: &Program, log: File) -> Result<(Child, OwnedFd)> {
    let mut command = if dies_with_us_can_be_asked_for() {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(&program.path);
        command
    } else {
        Command::new(&program.path)
    };
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BACKSTOCK_") {
            command.env_remove(name);
        }
    }
    command
        .args(&program.arguments)
        .envs(program.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let cannot_run = || format!("cannot run {}: build it first", program.path.display());
    // Through setpriv a missing program would show as an exit, without a word on what to do.
    std::fs::metadata(&program.path).with_context(cannot_run)?;
    let child = command.spawn().with_context(cannot_run)?;
    let pid = Pid::from_child(&child);
    let handle = pidfd_open(pid, PidfdFlags::empty()).context("the kernel gives no handle of the process")?;
    Ok((child, handle))
}

fn dies_with_us_can_be_asked_for() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join("setpriv").is_file())
}
