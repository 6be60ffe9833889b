//! A snapshot of all simulated services in a file, so that payments, parcels and mails survive a restart.
//!
//! It is written once, at graceful shutdown. A killed process loses everything since its start, which no real service
//! would; use that to test how a shop copes.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{carrier, payment, smtp};

/// The state of all services.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The gateway's payments.
    pub payments: payment::PaymentSnapshot,
    /// The carrier's labels.
    pub parcels: carrier::CarrierSnapshot,
    /// The mails in the inbox.
    pub mails: smtp::MailSnapshot,
}

impl Snapshot {
    /// Empty when the file doesn't exist.
    ///
    /// # Errors
    /// When the file can't be read or parsed. Starting without it would lose payments.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| cannot("read", path)),
        };
        serde_json::from_slice(&text)
            .with_context(|| format!("{}; remove it to start empty", cannot("parse", path)))
    }

    /// Replaces the file atomically.
    ///
    /// # Errors
    /// When its directory doesn't exist or isn't writable.
    pub fn write(&self, path: &Path) -> Result<()> {
        let draft = path.with_extension("draft");
        let text = serde_json::to_vec(self)?;
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, path))
            .with_context(|| cannot("write", path))
    }
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} {} (BACKSTOCK_SIMULATORS_STATE)", path.display())
}
