//! Who starts, who uses, and who stops: three locks in `.backstock/<purpose>/` that the kernel drops with their holder.
//!
//! - `start.lock`: exclusive while a process starts servers or joins them.
//! - `in-use.lock`: shared by every process that uses the servers; the guardian waits for it exclusively.
//! - `guardian.lock`: exclusive while a guardian lives.
//!
//! A starter takes `start.lock`, then its share of `in-use.lock`. A guardian that is stopping the servers makes it
//! wait there until they are gone. So nobody ever joins servers that are about to stop.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::place::Place;

const GUARDIAN: &str = include_str!("guardian.sh");

/// Held while servers are started or joined.
pub(crate) struct StartLock {
    _file: File,
}

/// A share of the servers' use.
#[derive(Debug)]
pub(crate) struct UseLock {
    file: File,
}

/// What became of the servers when a user left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Nobody else used them: they have ended.
    Stopped,
    /// Others still use them.
    StillUsed,
}

impl StartLock {
    pub(crate) fn take(place: &Place) -> Result<StartLock> {
        let file = open(&place.state.join("start.lock"))?;
        file.lock().context("cannot lock start.lock")?;
        Ok(StartLock { _file: file })
    }
}

impl UseLock {
    /// Takes a share, after a guardian that is stopping the servers has done so.
    pub(crate) fn share(place: &Place) -> Result<UseLock> {
        let file = open(&place.state.join("in-use.lock"))?;
        file.lock_shared().context("cannot lock in-use.lock")?;
        Ok(UseLock { file })
    }

    /// Gives up the share; when it was the last, returns after the servers have ended.
    pub(crate) fn release_and_stop(self, place: &Place) -> Result<Stopped> {
        self.file.unlock().context("cannot unlock in-use.lock")?;
        match self.file.try_lock() {
            // We were faster than the guardian, and nobody else is there.
            Ok(()) => {
                run_guardian(place, &["stop-held"])?;
                Ok(Stopped::Stopped)
            }
            Err(TryLockError::WouldBlock) => match self.file.try_lock_shared() {
                Ok(()) => Ok(Stopped::StillUsed),
                // The guardian is stopping them: its lock ends with its work.
                Err(TryLockError::WouldBlock) => {
                    self.file.lock_shared().context("cannot wait for the guardian")?;
                    Ok(Stopped::Stopped)
                }
                Err(TryLockError::Error(fault)) => Err(fault).context("cannot lock in-use.lock"),
            },
            Err(TryLockError::Error(fault)) => Err(fault).context("cannot lock in-use.lock"),
        }
    }
}

/// Starts a guardian unless one lives. To be called with both locks held.
pub(crate) fn ensure_guardian(place: &Place) -> Result<()> {
    let lock = open(&place.state.join("guardian.lock"))?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(fault)) => return Err(fault).context("cannot lock guardian.lock"),
        Ok(()) => {}
    }
    drop(lock);
    write_guardian(place)?;
    let log = place.new_log("guardian")?;
    Command::new("setsid")
        .arg("sh")
        .arg(place.state.join("guardian"))
        .arg("watch")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share the log")?)
        .stderr(log)
        .status()
        .context("cannot start the guardian through setsid (package util-linux)")?;
    Ok(())
}

/// Runs the guardian's script in one of its other modes; its words go to the terminal.
pub(crate) fn run_guardian(place: &Place, arguments: &[&str]) -> Result<bool> {
    write_guardian(place)?;
    let status = Command::new("sh")
        .arg(place.state.join("guardian"))
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .status()
        .context("cannot run the guardian's script")?;
    Ok(status.success())
}

fn write_guardian(place: &Place) -> Result<()> {
    let path = place.state.join("guardian");
    // A running shell reads its script as it goes: a new file leaves the old one to it.
    let draft = path.with_extension(std::process::id().to_string());
    std::fs::write(&draft, GUARDIAN)
        .and_then(|()| std::fs::rename(&draft, &path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn open(path: &Path) -> Result<File> {
    // Closed by the kernel at exec, so no child of ours keeps the lock alive.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}
