//! `backstock-lab limits`.

use anyhow::{Result, bail};

/// Measures the product against what the stores and the machine allow.
#[derive(Debug, clap::Args)]
pub struct Command {}

impl Command {
    /// Runs the checks and prints their table. `Ok(false)` when a target was missed.
    pub async fn run(self) -> Result<bool> {
        bail!("limits is not built yet")
    }
}
