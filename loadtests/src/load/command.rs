//! `backstock-lab load`: one workload against a URL.

use anyhow::{Result, bail};

/// Sends one kind of request to a URL and prints what came back.
#[derive(Debug, clap::Args)]
pub struct Command {
    /// The server, or the whole URL to request.
    pub url: String,
}

impl Command {
    /// Runs the load and prints its table.
    pub async fn run(self) -> Result<()> {
        bail!("load is not built yet")
    }
}
