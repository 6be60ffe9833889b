//! The clones that the arms of lessons run on. Copying a gigabyte takes seconds, twice or three times a lesson, and most
//! lessons only read. So clones that nobody has written to are kept, and the next lesson has them when it would get
//! copies of the same templates for all of its arms: never one arm a used clone and the other a new one.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use sqlx::PgConnection;

use crate::database::{Server, clone_database};

const PREFIX: &str = "backstock_compare_";

/// The clones that are kept, by the position of their arm: the template of each.
#[derive(Debug, Default)]
pub struct Clones {
    kept: Mutex<Vec<String>>,
}

impl Clones {
    /// The databases of a lesson's arms: kept ones, or new copies of these templates.
    pub async fn of(&self, server_url: &str, templates: &[String]) -> Result<Vec<String>> {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        let is_kept = kept.starts_with(templates);
        let mut databases = Vec::new();
        for (position, template) in templates.iter().enumerate() {
            let database = format!("{PREFIX}{position}");
            if !is_kept {
                clone_database(server_url, template, &database).await?;
            }
            databases.push(database);
        }
        Ok(databases)
    }

    /// Keeps the clones of these templates for the next lesson.
    pub fn keep(&self, templates: Vec<String>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = templates;
    }

    /// Drops all clones, also those that an interrupted run left.
    pub async fn drop_all(server_url: &str) -> Result<()> {
        let mut server = Server::connect(server_url).await?;
        for (database, _) in server.with_prefix(PREFIX).await? {
            server.drop(&database).await?;
        }
        Ok(())
    }
}

/// The next transaction that writes will have this number, in whichever database of the server. While it stays the same,
/// nobody has written: a transaction has a number from its first write on
/// (<https://www.postgresql.org/docs/current/transaction-id.html>).
pub async fn next_write(connection: &mut PgConnection) -> Result<i64> {
    let next = sqlx::query_scalar("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint");
    Ok(next.fetch_one(connection).await?)
}
