//! Child processes of tools, such as `xtask up`, and of tests. A child never outlives its [`ChildProcess`].
//!
//! The child asks the kernel for a SIGTERM when its parent dies (`setpriv --pdeathsig`, where there is util-linux), so
//! that a killed tool or test leaves no process behind. "Parent" means the *thread* that started it, which is why each
//! child has a thread of its own here that lives exactly as long.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use tokio::sync::watch;

/// Far above the duration of any command that [`run`] runs. A command that serves although it should fail never ends.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// The interval of readiness checks. Short, because a test waits for each program.
const READINESS_POLL: Duration = Duration::from_millis(2);

/// A running child process. Dropping it kills the process and waits until it is gone.
#[derive(Debug)]
pub struct ChildProcess {
    /// The program's file name.
    name: String,
    pid: u32,
    /// Signals go through this, because process ids are reused.
    handle: OwnedFd,
    exit: watch::Receiver<Option<ExitStatus>>,
    log: Log,
    /// Lives as long as the process. `None` only while it is being dropped.
    thread: Option<JoinHandle<()>>,
}

/// Where the output goes.
#[derive(Debug)]
enum Log {
    /// Standard output and standard error.
    File(PathBuf),
    /// The lines of standard error.
    Captured {
        /// Closed at the end of the log.
        lines: watch::Receiver<Vec<String>>,
        /// Lines before this one have been returned by [`ChildProcess::next_line`].
        next: usize,
    },
}

/// The output and exit code of a command.
#[derive(Debug)]
pub struct CommandOutput {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CommandOutput {
    /// Standard output, which is JSON.
    ///
    /// # Panics
    /// If it isn't.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|_| panic!("no JSON: {} {}", self.stdout, self.stderr))
    }
}

/// A command for [`ChildProcess::start`], which dies with its parent.
pub fn command(program: &Path) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let setpriv = std::env::split_paths(&path)
        .map(|directory| directory.join("setpriv"))
        .find(|path| path.is_file());
    let mut command = match setpriv {
        // Through setpriv, a missing program would show as its exit status only.
        Some(setpriv) if program.exists() => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        }
        _ => Command::new(program),
    };
    command.stdin(Stdio::null());
    command
}

/// The program of another package, beside the caller's own. Cargo passes a test no path to it: a run of all tests has
/// built it, a run of one package's may have not.
///
/// # Panics
/// If it can't be built.
pub fn sibling_program(own: &str, package: &str, name: &str) -> PathBuf {
    let sibling = Path::new(own).with_file_name(name);
    if !sibling.exists() {
        let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--package", package, "--manifest-path"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"))
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "{package} can't be built"
        );
    }
    sibling
}

/// Runs a command until it exits.
///
/// # Panics
/// If it cannot be started, or takes longer than a minute.
pub async fn run(command: Command) -> CommandOutput {
    let running = tokio::process::Command::from(command).kill_on_drop(true).output();
    let ended = tokio::time::timeout(COMMAND_TIMEOUT, running).await;
    let output = ended.expect("the command exits").expect("the command starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    CommandOutput {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Standard output of a program, such as a benchmark, that runs as long as it needs. Dropping the future kills it.
pub async fn output(command: Command, install: &str) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let running = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = running
        .await
        .with_context(|| format!("cannot run {name}: install {install}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed: {}", complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl ChildProcess {
    /// Starts the program with its output in the log file.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<ChildProcess> {
        if let Some(directory) = log.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = File::create(log).with_context(|| format!("cannot write the log {}", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        let log = Log::File(log.to_owned());
        Self::spawn(name, command, log, |_| {})
    }

    /// Starts the program and keeps the lines of its standard error. It counts as running until that is closed.
    pub fn start_captured(name: &str, mut command: Command) -> Result<ChildProcess> {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let (sender, lines) = watch::channel(Vec::new());
        let log = Log::Captured { lines, next: 0 };
        Self::spawn(name, command, log, move |child| {
            let output = child.stderr.take().expect("it is piped");
            read_lines(output, &sender);
        })
    }

    /// `until_exit` runs on the child's thread before the thread waits for the child.
    fn spawn(
        name: &str,
        command: Command,
        log: Log,
        until_exit: impl FnOnce(&mut Child) + Send + 'static,
    ) -> Result<ChildProcess> {
        let (report_exit, exit) = watch::channel(None);
        let (report_start, started) = std::sync::mpsc::channel();
        let supervise = move || match spawn_with_handle(command) {
            Ok((mut child, handle)) => {
                let _ = report_start.send(Ok((child.id(), handle)));
                until_exit(&mut child);
                if let Ok(status) = child.wait() {
                    report_exit.send_replace(Some(status));
                }
            }
            Err(error) => {
                let _ = report_start.send(Err(error));
            }
        };
        let thread = std::thread::Builder::new()
            .name("child-process".to_owned())
            .spawn(supervise)?;
        let started = started
            .recv()
            .context("the thread that starts the process failed")?;
        let (pid, handle) = started.with_context(|| format!("cannot run {name}: build it first"))?;
        Ok(ChildProcess {
            name: name.to_owned(),
            pid,
            handle,
            exit,
            log,
            thread: Some(thread),
        })
    }

    /// The name that it was started with, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks the process to shut down (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops the process until [`ChildProcess::resume`] (SIGSTOP).
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues a paused process (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // An error means that the process has exited.
        let _ = pidfd_send_signal(&self.handle, signal);
    }

    /// Waits until the process has exited.
    pub fn exited(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        let mut exit = self.exit.clone();
        async move {
            let status = exit.wait_for(Option::is_some).await;
            let status = status.expect("the child's thread reports the exit before it ends");
            status.expect("it was waited for")
        }
    }

    /// Checks until the process is ready. Fails when it exits or when the patience ends.
    pub async fn wait_until_ready<F: Future<Output = bool>>(
        &self,
        patience: Duration,
        mut is_ready: impl FnMut() -> F,
    ) -> Result<()> {
        let ready = async {
            while !is_ready().await {
                tokio::time::sleep(READINESS_POLL).await;
            }
        };
        tokio::select! {
            result = tokio::time::timeout(patience, ready) => {
                result.with_context(|| format!("{} was not ready within {patience:?} ({})", self.name, self.log_end()))
            }
            status = self.exited() => bail!("{} did not start ({status}): {}", self.name, self.log_end()),
        }
    }

    /// Asks the process to shut down, and waits until it has exited. It is killed when the patience ends.
    pub async fn stop(self, patience: Duration) -> Result<()> {
        self.terminate();
        let exited = tokio::time::timeout(patience, self.exited()).await;
        let status = exited.with_context(|| format!("{} did not stop within {patience:?}", self.name))?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }

    /// The captured log's next line that `matches`. Fails when the log ends before.
    pub async fn next_line(&mut self, matches: impl Fn(&str) -> bool) -> Result<String> {
        let Log::Captured { lines, next } = &mut self.log else {
            bail!("the log of {} is a file", self.name);
        };
        loop {
            let has_ended = lines.has_changed().is_err();
            {
                let lines = lines.borrow_and_update();
                let found = lines[*next..].iter().position(|line| matches(line));
                if let Some(position) = found {
                    let line = lines[*next + position].clone();
                    *next += position + 1;
                    return Ok(line);
                }
                if has_ended {
                    bail!("the log of {} ended:\n{}", self.name, lines.join("\n"));
                }
            }
            // An error means that the log has ended, so the lines are looked through once more.
            let _ = lines.changed().await;
        }
    }

    /// The fields of the captured log's next line with this message.
    ///
    /// # Panics
    /// When the log ends before.
    pub async fn next_logged(&mut self, message: &str) -> Value {
        let fields = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_default()["fields"].take();
        let line = self.next_line(|line| fields(line)["message"] == message).await;
        fields(&line.unwrap_or_else(|error| panic!("not logged: `{message}`: {error:#}")))
    }

    /// The output so far.
    pub fn log(&self) -> String {
        match &self.log {
            Log::File(path) => std::fs::read_to_string(path).unwrap_or_default(),
            Log::Captured { lines, .. } => lines.borrow().join("\n"),
        }
    }

    /// The lines after those that [`ChildProcess::next_line`] has returned, so far.
    pub fn rest_of_log(&self) -> String {
        match &self.log {
            Log::File(_) => self.log(),
            Log::Captured { lines, next } => lines.borrow()[*next..].join("\n"),
        }
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let last = log.lines().rev().find(|line| !line.trim().is_empty());
        let last = last.unwrap_or("it logged nothing");
        match &self.log {
            Log::File(path) => format!("{last} (log: {})", path.display()),
            Log::Captured { .. } => last.to_owned(),
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Takes the command, because it may own descriptors that only the child should keep.
fn spawn_with_handle(mut command: Command) -> Result<(Child, OwnedFd)> {
    let child = command.spawn()?;
    let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    Ok((
        child,
        handle.context("the kernel gives no handle of the process")?,
    ))
}

fn read_lines(output: impl Read, lines: &watch::Sender<Vec<String>>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        lines.send_modify(|lines| lines.push(line));
    }
}
