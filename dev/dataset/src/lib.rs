//! `backstock-lab generate`: a catalogue, customers and orders of realistic size and skew, the same for the same seed.
//!
//! [`scale`] says how much, [`tables::catalogue`] prepares what rows are derived from, [`tables`] derives them, [`load`]
//! streams them into the database. The skew is [`popularity`]'s and that of [`tables::orders::buyers`],
//! the words are in [`corpora`], and [`series`] has the rule for search words whose answer is known.

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use sqlx::Connection;

pub mod copy_format;
pub mod corpora;
pub mod load;
pub mod popularity;
pub mod progress;
pub mod rng;
pub mod scale;
pub mod series;
pub mod tables;
pub mod timestamps;

pub use scale::Scale;
pub use tables::catalogue::Catalogue;

use load::Existing;

/// The seed of everything that does not name another.
pub const DEFAULT_SEED: u64 = 1;

/// Fills an empty, migrated database with a catalogue, customers and orders.
#[derive(Debug, Clone, Args)]
pub struct Command {
    /// How large: xs (1 000 products, 2 000 orders), s (200 000 of each) or m (1 000 000 products, 2 000 000 orders).
    #[arg(long, value_enum)]
    pub scale: Scale,
    /// The same seed gives the same bytes.
    #[arg(long, default_value_t = DEFAULT_SEED)]
    pub seed: u64,
    /// The database, for example postgres://user:password@localhost:5432/backstock.
    #[arg(long, env = "BACKSTOCK_DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// Replace what is there: products, customers, carts, orders. Without this, a shop that is not empty is refused.
    #[arg(long)]
    pub replace: bool,
    /// Print the SHA-256 of each table's bytes.
    #[arg(long)]
    pub print_digest: bool,
}

impl Command {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        let existing = if self.replace {
            Existing::Replace
        } else {
            Existing::Refuse
        };
        let mut connection = load::connect(&self.database_url).await?;
        load::check(&mut connection, existing).await?;
        let catalogue = Arc::new(Catalogue::new(self.scale, self.seed));
        let digests = load::load(&self.database_url, &mut connection, &catalogue).await?;
        connection.close().await?;
        if self.print_digest {
            for (table, digest) in digests {
                println!("{digest}  {}", table.name());
            }
        }
        Ok(())
    }
}
