//! The databases of a server: make, clone, rename, drop. Read next: [`super::template`].

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use dataset::load::explain_full_disk;

/// A server, and a connection to the database that its URL names.
#[derive(Debug)]
pub struct Server {
    url: String,
    connection: PgConnection,
}

impl Server {
    /// Connects. `server_url` names any database of the server but those that are to be cloned or dropped.
    pub async fn connect(server_url: &str) -> Result<Self> {
        let connection = PgConnection::connect(server_url)
            .await
            .context("cannot reach the Postgres server; check --server-url or BACKSTOCK_DATABASE_URL")?;
        Ok(Self {
            url: server_url.to_owned(),
            connection,
        })
    }

    /// The URL of another database of this server.
    pub fn url_of(&self, database: &str) -> String {
        url_of(&self.url, database)
    }

    /// The connection.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Whether there is a database of that name.
    pub async fn has(&mut self, database: &str) -> Result<bool> {
        let has = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(database)
            .fetch_one(&mut self.connection)
            .await?;
        Ok(has)
    }

    /// The names and sizes in bytes of databases whose names begin so.
    pub async fn with_prefix(&mut self, prefix: &str) -> Result<Vec<(String, i64)>> {
        let found = sqlx::query_as(
            "select datname, pg_database_size(oid) from pg_database where starts_with(datname, $1) order by 1",
        )
        .bind(prefix)
        .fetch_all(&mut self.connection)
        .await?;
        Ok(found)
    }

    /// Makes an empty database in place of one that has that name.
    pub async fn create(&mut self, database: &str) -> Result<()> {
        self.drop(database).await?;
        self.execute(&format!("create database {}", quoted(database)?))
            .await
    }

    /// Makes a copy of a database, to which nobody is connected, in place of one that has that name.
    pub async fn clone(&mut self, template: &str, database: &str) -> Result<()> {
        self.drop(database).await?;
        let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::integer")
            .fetch_one(&mut self.connection)
            .await?;
        // From Postgres 15 on the default goes through shared buffers and, above `wal_level = minimal`, through the
        // log page by page, which suits small templates. Ours are large: copying their files takes a checkpoint and
        // no longer than the default for 1 GB, less for 6 GB, and keeps the cloned pages out of log and buffers.
        let strategy = if version >= 150_000 {
            " strategy file_copy"
        } else {
            ""
        };
        let statement = format!(
            "create database {} template {}{strategy}",
            quoted(database)?,
            quoted(template)?
        );
        self.execute(&statement).await
    }

    /// Gives a finished database its final name, and keeps everyone from changing it.
    pub async fn seal(&mut self, building: &str, template: &str) -> Result<()> {
        let (building, template) = (quoted(building)?, quoted(template)?);
        self.execute(&format!("alter database {building} with allow_connections false"))
            .await?;
        self.execute(&format!("alter database {building} rename to {template}"))
            .await
    }

    /// Drops a database if it exists, and ends connections to it.
    pub async fn drop(&mut self, database: &str) -> Result<()> {
        self.execute(&format!(
            "drop database if exists {} with (force)",
            quoted(database)?
        ))
        .await
    }

    /// Remembers with a database which template it is a copy of.
    pub async fn set_comment(&mut self, database: &str, comment: &str) -> Result<()> {
        let statement = format!(
            "comment on database {} is '{}'",
            quoted(database)?,
            comment.replace('\'', "''")
        );
        self.execute(&statement).await
    }

    /// What [`Server::set_comment`] remembered.
    pub async fn comment(&mut self, database: &str) -> Result<Option<String>> {
        let comment = sqlx::query_scalar(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = $1",
        )
        .bind(database)
        .fetch_one(&mut self.connection)
        .await?;
        Ok(comment)
    }

    async fn execute(&mut self, statement: &str) -> Result<()> {
        // Names are checked by `quoted`.
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut self.connection)
            .await
            .with_context(|| format!("in `{statement}`"))
            .map_err(explain_full_disk)?;
        Ok(())
    }
}

/// The URL with another database.
pub fn url_of(server_url: &str, database: &str) -> String {
    let authority = server_url.find("://").map_or(0, |scheme| scheme + 3);
    let query = server_url.find('?').unwrap_or(server_url.len());
    let path = server_url[authority..query]
        .find('/')
        .map_or(query, |path| authority + path);
    format!("{}/{database}{}", &server_url[..path], &server_url[query..])
}

/// A database name as an SQL identifier. Names are kept to what needs no escape in SQL, URLs or shells.
fn quoted(name: &str) -> Result<String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    ensure!(
        (1..=63).contains(&name.len()) && name.chars().all(plain),
        "`{name}` is no name for a database: use up to 63 letters, digits, `_` and `-`"
    );
    Ok(format!("\"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_a_url_changes() {
        for (server_url, expected) in [
            ("postgres://u:p@h:1/postgres", "postgres://u:p@h:1/shop"),
            ("postgres://u:p@h:1", "postgres://u:p@h:1/shop"),
            (
                "postgres://h/a?sslmode=disable",
                "postgres://h/shop?sslmode=disable",
            ),
            (
                "postgres://h?host=/run/postgresql",
                "postgres://h/shop?host=/run/postgresql",
            ),
        ] {
            assert_eq!(url_of(server_url, "shop"), expected);
        }
    }

    #[test]
    fn names_that_need_escapes_are_refused() {
        assert_eq!(quoted("shop_1-a").expect("a plain name"), "\"shop_1-a\"");
        for name in ["", "a b", "a\"b", "a;b", "ä", &"x".repeat(64)] {
            assert!(quoted(name).is_err(), "{name}");
        }
    }
}
