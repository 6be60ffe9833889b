//! What a comparison runs on: generated data of a scale, or what a file brings.

use std::path::Path;

use anyhow::{Context, Result};
use sqlx::{Connection, PgConnection};

use super::stand::Ground;
use crate::database::{ImportFile, clone_database, drop_database, ensure_imported_template, ensure_template};
use crate::lessons::Facts;
use dataset::Scale;

/// The database in which imported data is looked at before any lesson.
const LOOKED_AT: &str = "backstock_compare_facts";

/// What all arms of all lessons run on.
#[derive(Debug, Clone)]
pub enum Data {
    /// Generated, with the run's seed.
    Generated(Scale),
    /// Imported once, and cloned for each arm.
    Imported(ImportFile),
}

impl Data {
    /// The template with an index set; it is made when it is missing.
    pub async fn template(
        &self,
        server_url: &str,
        api_binary: &Path,
        seed: u64,
        indexes_arm: &str,
    ) -> Result<String> {
        match self {
            Self::Generated(scale) => {
                ensure_template(server_url, api_binary, *scale, seed, indexes_arm).await
            }
            Self::Imported(file) => ensure_imported_template(server_url, api_binary, file, indexes_arm).await,
        }
    }

    /// What the data holds, read from a database that has it.
    pub async fn facts(&self, connection: &mut PgConnection, seed: u64) -> Result<Facts> {
        match self {
            Self::Generated(_) => Facts::read(connection, seed).await,
            Self::Imported(_) => Facts::read_imported(connection, seed).await,
        }
    }

    /// As in `report.json`.
    pub fn scale(&self) -> String {
        match self {
            Self::Generated(scale) => scale.to_string(),
            Self::Imported(_) => "import".to_owned(),
        }
    }
}

/// Imports the file, if there is one, and looks at what it brought: whether lessons can run on it must be known before
/// their databases are made, and a file that cannot be imported ends the run.
pub async fn look_at_import(ground: &Ground) -> Result<Option<Facts>> {
    let Data::Imported(file) = &ground.data else {
        return Ok(None);
    };
    let server_url = ground.services.database_url("postgres");
    let template = ground
        .data
        .template(&server_url, &ground.api_binary, ground.seed, "chosen")
        .await?;
    clone_database(&server_url, &template, LOOKED_AT).await?;
    let mut connection = PgConnection::connect(&ground.services.database_url(LOOKED_AT)).await?;
    let facts = ground.data.facts(&mut connection, ground.seed).await;
    connection.close().await?;
    drop_database(&server_url, LOOKED_AT).await?;
    let facts = facts.with_context(|| format!("{} cannot be compared on", file.path.display()))?;
    Ok(Some(facts))
}
