//! The secrets of the local shop, created once and stored in `.backstock/` with owner-only permissions, so that tokens
//! stay valid after a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use local_services::{Purpose, home_dir};

pub(crate) struct Secrets {
    /// The value of `BACKSTOCK_JWT_SECRETS`.
    pub(crate) jwt: String,
    /// The value of `BACKSTOCK_CARRIER_SECRET`; the carrier signs with it, and the shop verifies.
    pub(crate) carrier: String,
    /// The password of the admin.
    pub(crate) admin: String,
}

impl Secrets {
    pub(crate) fn load_or_create() -> Result<Self> {
        Ok(Self {
            jwt: load_or_create_secret("jwt-secrets", "local:")?,
            carrier: load_or_create_secret("carrier-secret", "")?,
            admin: load_or_create_secret("admin-password", "")?,
        })
    }
}

/// Reads the secret from its file, or creates one with 32 random bytes.
fn load_or_create_secret(name: &str, prefix: &str) -> Result<String> {
    let path = home_dir()?.join(Purpose::Shop.name()).join(name);
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
