//! Server processes: started apart from the terminal, recognised again later, and waited for until they answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::place::Place;

/// How long a server may take until it answers. RabbitMQ's first start on a busy machine of 2 cores stays well below.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// Between two questions whether a server answers yet.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A server that runs, as recorded in `.backstock/<purpose>/<server>.process` for those who join, and for the
/// guardian: the process id and the moment of its start, since the kernel gives ids out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    started_ticks: u64,
    pub(crate) port: u16,
}

impl Process {
    /// The recorded process, if it is alive.
    pub(crate) fn find(place: &Place, server: &str) -> Option<Process> {
        let text = fs::read_to_string(record_path(place, server)).ok()?;
        let mut words = text.split_whitespace();
        let process = Process {
            pid: words.next()?.parse().ok()?,
            started_ticks: words.next()?.parse().ok()?,
            port: words.next()?.parse().ok()?,
        };
        (started_ticks(process.pid) == Some(process.started_ticks)).then_some(process)
    }

    fn record(place: &Place, server: &str, pid: u32, port: u16) -> Result<Process> {
        let started_ticks = started_ticks(pid).unwrap_or(0); // Dead already: the wait for its answer tells.
        let path = record_path(place, server);
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

fn record_path(place: &Place, server: &str) -> PathBuf {
    place.state.join(format!("{server}.process"))
}

/// When the process started, in clock ticks since boot; none for a process that is gone or only waits to be reaped.
pub(crate) fn started_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A server that was started and may not answer yet.
pub(crate) struct Starting<'a> {
    place: &'a Place,
    server: &'static str,
    child: Child,
    pub(crate) process: Process,
}

impl<'a> Starting<'a> {
    /// Starts the program in a session of its own, where no Ctrl-C and no closing terminal reaches it.
    pub(crate) fn spawn(
        place: &'a Place,
        server: &'static str,
        command: Command,
        port: u16,
    ) -> Result<Starting<'a>> {
        let log = place.new_log(server)?;
        let mut detached = Command::new("setsid");
        detached.arg(command.get_program()).args(command.get_args());
        detached.env_clear();
        detached.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        detached.current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
        place.account.apply(&mut detached);
        let child = detached
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {server} through setsid"))?;
        let process = Process::record(place, server, child.id(), port)?;
        Ok(Starting {
            place,
            server,
            child,
            process,
        })
    }

    /// Waits until the server answers; fails with the log's last word when it ends, or takes too long.
    pub(crate) fn wait_until<T>(mut self, mut answer: impl FnMut() -> Option<T>) -> Result<(Process, T)> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(answer) = answer() {
                return Ok((self.process, answer));
            }
            if self.child.try_wait()?.is_some() {
                bail!("{} ended at its start: {}", self.server, self.last_words());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} gave no answer within {} s: {}",
                    self.server,
                    START_DEADLINE.as_secs(),
                    self.last_words()
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn last_words(&self) -> String {
        let path = self.place.log_path(self.server);
        format!("{} (log: {})", last_telling_line(&path), path.display())
    }
}

/// The last line of a log that speaks of a fault, else its last line.
pub(crate) fn last_telling_line(log: &Path) -> String {
    const SIGNS: [&str; 6] = ["FATAL", "PANIC", "FAILED", "error", "Error", "ERROR"];
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let fault = lines
        .clone()
        .rfind(|line| SIGNS.iter().any(|sign| line.contains(sign)));
    fault
        .or_else(|| lines.next_back())
        .unwrap_or("its log is empty")
        .to_owned()
}

/// A command with the little environment that a server needs, so that no setting of the user's leaks into it.
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
