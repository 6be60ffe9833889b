//! A lock file that allows one `up` at a time and tells `down` its process id. The kernel releases the lock when its
//! holder ends, so a crash leaves only an unlocked file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};

use anyhow::{Context, Result, bail};
use local_services::{Purpose, home_dir};
use rustix::process::{Pid, Signal, kill_process};

/// Held while `up` runs. The file contains its process id.
pub(crate) struct UpLock {
    _file: File,
}

impl UpLock {
    pub(crate) fn acquire() -> Result<UpLock> {
        let mut file = open()?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("`make up` is already running; `make down` stops it"),
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock up.lock"),
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id()).context("cannot write up.lock")?;
        Ok(UpLock { _file: file })
    }
}

/// Sends SIGTERM to a running `up` and waits until it has exited.
pub(crate) fn stop_holder() -> Result<()> {
    let mut file = open()?;
    match file.try_lock() {
        Ok(()) => return Ok(()),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock up.lock"),
    }
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    let pid = text
        .trim()
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .context("up.lock contains no process id")?;
    kill_process(pid, Signal::TERM).with_context(|| format!("cannot stop process {text}"))?;
    file.lock().context("cannot wait for `up` to end")
}

fn open() -> Result<File> {
    let directory = home_dir()?.join(Purpose::Shop.name());
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(directory.join("up.lock"))
        .context("cannot open up.lock")
}
