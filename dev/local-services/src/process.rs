//! Server processes: started detached from the terminal, recorded, and waited for until they are ready.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::data_dirs::DataDirs;

/// The start-up timeout. RabbitMQ's first start on a busy machine with 2 cores stays well below it.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// The interval of readiness checks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A running server, as recorded in `.backstock/<purpose>/<server>.process` for processes that join it and for the
/// watchdog. It is identified by process id and start time, because process ids are reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    started_ticks: u64,
    pub(crate) port: u16,
}

impl Process {
    /// The recorded process, if it is alive.
    pub(crate) fn find(dirs: &DataDirs, server: &str) -> Option<Process> {
        let text = fs::read_to_string(record_path(dirs, server)).ok()?;
        let mut words = text.split_whitespace();
        let process = Process {
            pid: words.next()?.parse().ok()?,
            started_ticks: words.next()?.parse().ok()?,
            port: words.next()?.parse().ok()?,
        };
        (started_ticks(process.pid) == Some(process.started_ticks)).then_some(process)
    }

    fn record(dirs: &DataDirs, server: &str, pid: u32, port: u16) -> Result<Process> {
        let started_ticks = started_ticks(pid).unwrap_or(0); // A process that is already dead fails its readiness check.
        let path = record_path(dirs, server);
        let draft = path.with_extension("draft");
        fs::write(&draft, format!("{pid} {started_ticks} {port}\n"))
            .and_then(|()| fs::rename(&draft, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Process {
            pid,
            started_ticks,
            port,
        })
    }
}

fn record_path(dirs: &DataDirs, server: &str) -> PathBuf {
    dirs.state.join(format!("{server}.process"))
}

/// When the process started, in clock ticks since boot. None for a process that is gone or a zombie.
pub(crate) fn started_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the program's name in parentheses, may contain spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A started server that may not be ready yet.
pub(crate) struct StartingServer<'a> {
    dirs: &'a DataDirs,
    server: &'static str,
    child: Child,
    pub(crate) process: Process,
}

impl<'a> StartingServer<'a> {
    /// Starts the program in a new session, so that neither Ctrl-C nor a closed terminal reaches it.
    pub(crate) fn spawn(
        dirs: &'a DataDirs,
        server: &'static str,
        command: Command,
        port: u16,
    ) -> Result<StartingServer<'a>> {
        let log = dirs.new_log(server)?;
        let mut detached = Command::new("setsid");
        detached.arg(command.get_program()).args(command.get_args());
        detached.env_clear();
        detached.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        detached.current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
        dirs.os_user.apply(&mut detached);
        let child = detached
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {server} through setsid"))?;
        let process = Process::record(dirs, server, child.id(), port)?;
        Ok(StartingServer {
            dirs,
            server,
            child,
            process,
        })
    }

    /// Waits until the readiness check returns a value. Fails with the last error in the log when the process exits or the
    /// timeout is over.
    pub(crate) fn wait_until<T>(mut self, mut check: impl FnMut() -> Option<T>) -> Result<(Process, T)> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(value) = check() {
                return Ok((self.process, value));
            }
            if self.child.try_wait()?.is_some() {
                bail!("{} exited during start-up: {}", self.server, self.last_error());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} was not ready within {} s: {}",
                    self.server,
                    START_TIMEOUT.as_secs(),
                    self.last_error()
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn last_error(&self) -> String {
        let path = self.dirs.log_path(self.server);
        format!("{} (log: {})", last_error_line(&path), path.display())
    }
}

/// The last line of a log that reports an error, or else its last line.
pub(crate) fn last_error_line(log: &Path) -> String {
    const MARKERS: [&str; 6] = ["FATAL", "PANIC", "FAILED", "error", "Error", "ERROR"];
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines
        .clone()
        .rfind(|line| MARKERS.iter().any(|marker| line.contains(marker)));
    error
        .or_else(|| lines.next_back())
        .unwrap_or("its log is empty")
        .to_owned()
}

/// A command with a minimal environment, so that none of the user's settings leaks into a server.
pub(crate) fn clean_command(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    let path = std::env::var("PATH").unwrap_or_default();
    command.env(
        "PATH",
        format!("{path}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    );
    command
        .env("HOME", directory)
        .env("LC_ALL", "C.UTF-8")
        .current_dir(directory);
    command
}
