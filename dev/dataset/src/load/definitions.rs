//! Drops constraints and indexes and disables triggers while tables are loaded, and then restores them as they were.
//!
//! This happens in one transaction, so an interrupted load leaves them in place. Check constraints stay, because they
//! are cheap and prove that the generated rows are valid.

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, PgConnection};

/// A kind of definitions that are restored together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Part {
    /// Primary keys, unique constraints and foreign keys.
    Constraint,
    /// All other indexes.
    Index,
    /// Triggers, which are disabled, not dropped.
    Trigger,
}

/// The statements that restore the definitions, in order.
#[derive(Debug)]
pub struct Definitions {
    put_back: Vec<(Part, String)>,
}

impl Definitions {
    /// Drops the constraints and indexes of these tables, disables their triggers, and empties them.
    pub async fn set_aside(connection: &mut PgConnection, tables: &[&str]) -> Result<Self> {
        let found: Vec<(Part, String, String)> = sqlx::query_as(include_str!("definitions.sql"))
            .bind(tables)
            .fetch_all(&mut *connection)
            .await?;
        let mut put_back = Vec::new();
        for (part, drop, create) in found {
            execute(connection, &drop).await?;
            put_back.insert(0, (part, create));
        }
        for table in tables {
            execute(connection, &format!("alter table {table} disable trigger user")).await?;
            put_back.push((Part::Trigger, format!("alter table {table} enable trigger user")));
        }
        execute(connection, &format!("truncate {}", tables.join(", "))).await?;
        Ok(Self { put_back })
    }

    /// Restores the definitions of one kind. Keys and indexes are built, and foreign keys are checked.
    pub async fn put_back(&self, connection: &mut PgConnection, part: Part) -> Result<()> {
        for (_, statement) in self.put_back.iter().filter(|(kind, _)| *kind == part) {
            execute(connection, statement).await?;
        }
        Ok(())
    }
}

async fn execute(connection: &mut PgConnection, statement: &str) -> Result<()> {
    // Not an injection: the statements come from Postgres's catalog, which quotes names, and from this program.
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
        .with_context(|| format!("in `{statement}`"))?;
    Ok(())
}
