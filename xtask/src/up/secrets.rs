//! The secrets of the local shops: made once, kept in `.backstock/`, for nobody else to read. So a token that a shop gave
//! is good after a restart, too.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use local_services::{Purpose, home};

/// What the local processes share.
pub(crate) struct Secrets {
    /// The value of `BACKSTOCK_JWT_SECRETS`, with which both shops sign.
    pub(crate) jwt: String,
    /// The value of `BACKSTOCK_CARRIER_SECRET`, with which the carrier signs and both shops verify.
    pub(crate) carrier: String,
}

impl Secrets {
    pub(crate) fn of_home() -> Result<Self> {
        Ok(Self {
            jwt: kept("jwt-secrets", "local:")?,
            carrier: kept("carrier-secret", "")?,
        })
    }
}

/// What a file of that name holds; when there is none, one is made with 32 random bytes.
fn kept(name: &str, prefix: &str) -> Result<String> {
    let path = home()?.join(Purpose::Shop.name()).join(name);
    if let Ok(secret) = fs::read_to_string(&path) {
        return Ok(secret);
    }
    let mut bytes = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let secret = format!("{prefix}{digits}");
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(secret.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(secret)
}
