//! The key that both local shops sign with: made once, kept in `.backstock/`, for nobody else to read.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use local_services::{Purpose, home};

/// The value of `BACKSTOCK_JWT_SECRETS`.
pub(crate) fn jwt_secrets() -> Result<String> {
    let path = home()?.join(Purpose::Shop.name()).join("jwt-secrets");
    if let Ok(secrets) = fs::read_to_string(&path) {
        return Ok(secrets);
    }
    let mut bytes = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let secrets = format!("local:{secret}");
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(secrets.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(secrets)
}
