//! What the parties remember, in a file: so that a town can be stopped and started again without its companies forgetting
//! what they were paid, were to deliver, or were sent.
//!
//! It is written once, at an orderly stop. A process that is killed forgets what was new since its start, which no real
//! company would; to try how a shop bears that is what this allows, too.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{carrier, payment, smtp};

/// Everything.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The gateway's payments.
    pub payments: payment::Kept,
    /// The carrier's labels.
    pub parcels: carrier::Kept,
    /// The mails in the inbox.
    pub mails: smtp::Kept,
}

impl Memory {
    /// Nothing, where there is no such file.
    ///
    /// # Errors
    /// When the file can't be read, or isn't one that was written here: starting without it would forget payments.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| cannot("read", path)),
        };
        serde_json::from_slice(&text)
            .with_context(|| format!("{}; to begin with nothing, remove it", cannot("understand", path)))
    }

    /// Replaces the file as a whole or not at all.
    ///
    /// # Errors
    /// When its folder isn't there or can't be written to.
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
