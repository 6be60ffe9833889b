//! Three file locks in `.backstock/<purpose>/`, which the kernel releases when their holder ends.
//!
//! - `start.lock`: exclusive while a process starts or joins servers.
//! - `in-use.lock`: shared by every user of the servers; the watchdog waits for it exclusively.
//! - `watchdog.lock`: exclusive while a watchdog runs.
//!
//! A starting process acquires `start.lock`, then a share of `in-use.lock`. While the watchdog stops the servers it holds
//! `in-use.lock`, so a process never joins servers that are about to stop.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::data_dirs::DataDirs;

const WATCHDOG: &str = include_str!("watchdog.sh");

pub(crate) struct StartLock {
    _file: File,
}

/// A shared lock that keeps the servers running.
#[derive(Debug)]
pub(crate) struct UseLock {
    file: File,
}

/// The result of releasing the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// This was the last user, and the servers have stopped.
    Stopped,
    /// Another process uses them.
    StillInUse,
}

impl StartLock {
    pub(crate) fn acquire(dirs: &DataDirs) -> Result<StartLock> {
        let file = open(&dirs.state.join("start.lock"))?;
        file.lock().context("cannot lock start.lock")?;
        Ok(StartLock { _file: file })
    }
}

impl UseLock {
    /// Acquires a share. Blocks while the watchdog is stopping the servers.
    pub(crate) fn acquire_shared(dirs: &DataDirs) -> Result<UseLock> {
        let file = open(&dirs.state.join("in-use.lock"))?;
        file.lock_shared().context("cannot lock in-use.lock")?;
        Ok(UseLock { file })
    }

    /// Releases the share. If it was the last, returns after the servers have stopped.
    pub(crate) fn release_and_stop(self, dirs: &DataDirs) -> Result<StopOutcome> {
        self.file.unlock().context("cannot unlock in-use.lock")?;
        match self.file.try_lock() {
            // This process got the exclusive lock before the watchdog, so there is no other user.
            Ok(()) => {
                run_watchdog(dirs, &["stop-held"])?;
                Ok(StopOutcome::Stopped)
            }
            Err(TryLockError::WouldBlock) => match self.file.try_lock_shared() {
                Ok(()) => Ok(StopOutcome::StillInUse),
                // The watchdog is stopping the servers and releases its lock afterwards.
                Err(TryLockError::WouldBlock) => {
                    self.file.lock_shared().context("cannot wait for the watchdog")?;
                    Ok(StopOutcome::Stopped)
                }
                Err(TryLockError::Error(error)) => Err(error).context("cannot lock in-use.lock"),
            },
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock in-use.lock"),
        }
    }
}

/// Starts the watchdog unless it is running. Call it with both locks held.
pub(crate) fn ensure_watchdog(dirs: &DataDirs) -> Result<()> {
    let lock = open(&dirs.state.join("watchdog.lock"))?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock watchdog.lock"),
        Ok(()) => {}
    }
    drop(lock);
    write_watchdog(dirs)?;
    let log = dirs.new_log("watchdog")?;
    Command::new("setsid")
        .arg("sh")
        .arg(dirs.state.join("watchdog"))
        .arg("watch")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share the log")?)
        .stderr(log)
        .status()
        .context("cannot start the watchdog through setsid (package util-linux)")?;
    Ok(())
}

/// Runs the watchdog's script in one of its other modes. Its output goes to the terminal.
pub(crate) fn run_watchdog(dirs: &DataDirs, arguments: &[&str]) -> Result<bool> {
    write_watchdog(dirs)?;
    let status = Command::new("sh")
        .arg(dirs.state.join("watchdog"))
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .status()
        .context("cannot run the watchdog's script")?;
    Ok(status.success())
}

fn write_watchdog(dirs: &DataDirs) -> Result<()> {
    let path = dirs.state.join("watchdog");
    // A shell reads its script while running it, so the file is replaced rather than overwritten.
    let draft = path.with_extension(std::process::id().to_string());
    std::fs::write(&draft, WATCHDOG)
        .and_then(|()| std::fs::rename(&draft, &path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn open(path: &Path) -> Result<File> {
    // Opened with O_CLOEXEC, so that no child process keeps the lock.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}
