//! Sets constraints, indexes and triggers aside while tables are filled, and puts them back as they were.
//!
//! All within one transaction: a load that is interrupted leaves them in place. Check constraints stay, since they
//! are cheap, and prove that what is generated is valid.

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, PgConnection};

/// A part of what was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Part {
    /// Primary keys, unique constraints and foreign keys.
    Constraint,
    /// All other indexes.
    Index,
    /// That triggers fire.
    Trigger,
}

/// What was set aside, as the statements that put it back, in order.
#[derive(Debug)]
pub struct Definitions {
    put_back: Vec<(Part, String)>,
}

impl Definitions {
    /// Drops what slows down a load of these tables, and empties them.
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

    /// Puts a part back: keys and indexes are built, foreign keys checked.
    pub async fn put_back(&self, connection: &mut PgConnection, part: Part) -> Result<()> {
        for (_, statement) in self.put_back.iter().filter(|(kind, _)| *kind == part) {
            execute(connection, statement).await?;
        }
        Ok(())
    }
}

async fn execute(connection: &mut PgConnection, statement: &str) -> Result<()> {
    // Built from the database's own catalogue, with its quoting, and from names in this program.
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
        .with_context(|| format!("in `{statement}`"))?;
    Ok(())
}
