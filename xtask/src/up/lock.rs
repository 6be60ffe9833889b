//! One `up` at a time, and a way for `down` to find it. The kernel drops the lock with its holder, so what a crash
//! leaves is a file that nobody has locked.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};

use anyhow::{Context, Result, bail};
use local_services::{Purpose, home};
use rustix::process::{Pid, Signal, kill_process};

/// Held while `up` runs; its file holds the process id.
pub(crate) struct UpLock {
    _file: File,
}

impl UpLock {
    pub(crate) fn take() -> Result<UpLock> {
        let mut file = open()?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("`make up` runs already; `make down` stops it"),
            Err(TryLockError::Error(fault)) => return Err(fault).context("cannot lock up.lock"),
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id()).context("cannot write up.lock")?;
        Ok(UpLock { _file: file })
    }
}

/// Asks a running `up` to stop and waits until it has.
pub(crate) fn stop_holder() -> Result<()> {
    let mut file = open()?;
    match file.try_lock() {
        Ok(()) => return Ok(()),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(fault)) => return Err(fault).context("cannot lock up.lock"),
    }
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    let pid = text
        .trim()
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .context("up.lock holds no process id")?;
    kill_process(pid, Signal::TERM).with_context(|| format!("cannot stop process {text}"))?;
    file.lock().context("cannot wait for `up` to end")
}

fn open() -> Result<File> {
    let directory = home()?.join(Purpose::Shop.name());
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(directory.join("up.lock"))
        .context("cannot open up.lock")
}
