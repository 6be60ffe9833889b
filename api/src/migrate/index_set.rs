//! An index set, held against the indexes that a database has: what is missing is built, what is gone from it is dropped.
//!
//! Indexes are compared by definition. Postgres itself says what a definition means: the set is applied to empty temporary
//! tables, and what `pg_get_indexdef` says of those is held against what it says of the real ones. A set that another build
//! applied, or that was interrupted, is so brought up to date without rebuilding what is right.
//!
//! While the shop is open, indexes are built and dropped `concurrently`, new ones first: readers and writers go on, and no
//! query is without its index meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{MigrationError, MigrationSettings, is_about_locks, pause_or_give_up, set_timeout};

/// `create index concurrently` waits for transactions that are older than it. Nobody waits behind it meanwhile, so it may
/// take long, but not for ever: a forgotten transaction is named to the operator.
const CONCURRENT_LOCK_TIMEOUT: Duration = Duration::from_secs(120);

/// The advisory lock of one `migrate` at a time.
const LOCK: i64 = 0x696e_6465_785f_7365;

/// How often it is asked for. It isn't waited for in Postgres: a waiting statement has a snapshot, for whose end the other
/// `migrate` would wait while it builds.
const LOCK_POLL: Duration = Duration::from_millis(250);

/// What an index is renamed to whose definition has changed, until its successor is built.
const REPLACED: &str = "_replaced";

/// A named set of `create index` statements.
#[derive(Debug)]
pub(super) struct IndexSet {
    arm: &'static str,
    sql: &'static str,
    indexes: Vec<Index>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Index {
    name: String,
    table: String,
    /// The statement, from its name on.
    rest: String,
    is_unique: bool,
}

impl IndexSet {
    pub(super) fn new(arm: &'static str, sql: &'static str) -> IndexSet {
        let indexes = parse(sql).expect("a test parses every index set of this build");
        IndexSet { arm, sql, indexes }
    }

    fn names(&self) -> Vec<String> {
        self.indexes.iter().map(|index| index.name.clone()).collect()
    }
}

impl Index {
    fn create_concurrently(&self) -> String {
        let unique = if self.is_unique { "unique " } else { "" };
        format!("create {unique}index concurrently {}", self.rest)
    }
}

/// The statements of a set; `Err` with the first that is no plain `create index`.
fn parse(sql: &str) -> Result<Vec<Index>, String> {
    let without_comments: Vec<&str> = sql
        .lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
        .collect();
    let without_comments = without_comments.join("\n");
    let statements = without_comments.split(';').map(str::trim);
    statements
        .filter(|statement| !statement.is_empty())
        .map(|statement| {
            let refused = || format!("`{statement}` is no `create [unique] index NAME on TABLE …`");
            let (is_unique, rest) = match statement.strip_prefix("create unique index ") {
                Some(rest) => (true, rest),
                None => (
                    false,
                    statement.strip_prefix("create index ").ok_or_else(refused)?,
                ),
            };
            let mut words = rest.split_whitespace();
            let (Some(name), Some("on"), Some(table)) = (words.next(), words.next(), words.next()) else {
                return Err(refused());
            };
            Ok(Index {
                name: name.to_owned(),
                table: table.to_owned(),
                rest: rest.to_owned(),
                is_unique,
            })
        })
        .collect()
}

/// An index that a database has.
#[derive(Debug)]
struct Existing {
    definition: String,
    is_valid: bool,
}

/// What is to be done, by names.
#[derive(Debug, Default)]
struct Changes {
    /// Half built by a run that was interrupted.
    broken: Vec<String>,
    /// Another definition under the same name.
    replaced: Vec<String>,
    create: Vec<String>,
    /// Made by a set, and in this one no more.
    drop: Vec<String>,
}

impl Changes {
    fn between(
        wanted: &BTreeMap<String, String>,
        existing: &BTreeMap<String, Existing>,
        recorded: &[String],
    ) -> Changes {
        let mut changes = Changes::default();
        for (name, definition) in wanted {
            match existing.get(name) {
                Some(index) if index.is_valid && index.definition == *definition => continue,
                Some(index) if index.is_valid => changes.replaced.push(name.clone()),
                Some(_) => changes.broken.push(name.clone()),
                None => {}
            }
            changes.create.push(name.clone());
        }
        for name in recorded.iter().filter(|name| !wanted.contains_key(*name)) {
            match existing.get(name) {
                Some(index) if index.is_valid => changes.drop.push(name.clone()),
                Some(_) => changes.broken.push(name.clone()),
                None => {}
            }
        }
        changes
    }

    /// The names that the set is responsible for until all is done.
    fn names_meanwhile(&self, wanted: &[String]) -> Vec<String> {
        let replaced = self.replaced.iter().map(|name| replaced_name(name));
        let all: BTreeSet<String> = wanted
            .iter()
            .chain(&self.drop)
            .chain(&self.broken)
            .cloned()
            .chain(replaced)
            .collect();
        all.into_iter().collect()
    }
}

fn replaced_name(name: &str) -> String {
    // Postgres' names have 63 bytes; those of the sets are ASCII.
    let kept = name.len().min(63 - REPLACED.len());
    format!("{}{REPLACED}", &name[..kept])
}

/// The set's indexes that the database hasn't, or hasn't finished.
pub(super) async fn missing(
    connection: &mut PgConnection,
    set: &IndexSet,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select name from unnest($1::text[]) as name
         where not exists (
             select from pg_class c join pg_index i on i.indexrelid = c.oid
             where c.relname = name and c.relnamespace = current_schema()::regnamespace and i.indisvalid)
         order by name",
    )
    .bind(set.names())
    .fetch_all(connection)
    .await
}

/// Brings a database that nobody uses to this set, in one transaction.
pub(super) async fn swap(connection: &mut PgConnection, set: &IndexSet) -> Result<(), sqlx::Error> {
    let wanted = wanted_definitions(connection, set).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("lock table index_set in exclusive mode")
        .execute(&mut *transaction)
        .await?;
    let changes = changes(&mut transaction, &wanted).await?;
    for name in changes
        .drop
        .iter()
        .chain(&changes.broken)
        .chain(&changes.replaced)
    {
        execute(&mut transaction, format!("drop index {}", quoted(name))).await?;
    }
    for index in set
        .indexes
        .iter()
        .filter(|index| changes.create.contains(&index.name))
    {
        let unique = if index.is_unique { "unique " } else { "" };
        execute(&mut transaction, format!("create {unique}index {}", index.rest)).await?;
    }
    record(&mut transaction, set.arm, &set.names()).await?;
    transaction.commit().await
}

/// Brings a database to this set while others read and write.
pub(super) async fn change_concurrently(
    connection: &mut PgConnection,
    set: &IndexSet,
    settings: &MigrationSettings,
) -> Result<(), MigrationError> {
    while !sqlx::query_scalar::<_, bool>("select pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut *connection)
        .await?
    {
        tokio::time::sleep(LOCK_POLL).await;
    }
    set_timeout(connection, "lock_timeout", CONCURRENT_LOCK_TIMEOUT).await?;
    let wanted = wanted_definitions(connection, set).await?;
    let changes = changes(connection, &wanted).await?;
    let applied = super::applied_indexes(connection).await?;

    // Recorded before it is done: a run that is interrupted leaves nothing that the next doesn't know.
    record(connection, &applied, &changes.names_meanwhile(&set.names())).await?;
    for name in &changes.broken {
        drop_index(connection, name, settings).await?;
    }
    for name in &changes.replaced {
        drop_index(connection, &replaced_name(name), settings).await?;
        let (name, aside) = (quoted(name), quoted(&replaced_name(name)));
        execute(connection, format!("alter index {name} rename to {aside}")).await?;
    }
    for index in set
        .indexes
        .iter()
        .filter(|index| changes.create.contains(&index.name))
    {
        tracing::info!(index = index.name, table = index.table, "building an index");
        create_index(connection, index, settings).await?;
    }
    record(connection, set.arm, &changes.names_meanwhile(&set.names())).await?;
    let replaced = changes.replaced.iter().map(|name| replaced_name(name));
    for name in changes.drop.iter().cloned().chain(replaced) {
        drop_index(connection, &name, settings).await?;
    }
    record(connection, set.arm, &set.names()).await?;
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(LOCK)
        .execute(connection)
        .await?;
    Ok(())
}

async fn create_index(
    connection: &mut PgConnection,
    index: &Index,
    settings: &MigrationSettings,
) -> Result<(), MigrationError> {
    let mut attempt = 1;
    while let Err(error) = execute(connection, index.create_concurrently()).await {
        if !is_about_locks(&error) {
            return Err(error.into());
        }
        // What was built so far is invalid, and under the name that the next attempt needs.
        drop_index(connection, &index.name, settings).await?;
        pause_or_give_up(&format!("the index {}", index.name), &mut attempt, settings).await?;
    }
    Ok(())
}

async fn drop_index(
    connection: &mut PgConnection,
    name: &str,
    settings: &MigrationSettings,
) -> Result<(), MigrationError> {
    let mut attempt = 1;
    let statement = format!("drop index concurrently if exists {}", quoted(name));
    while let Err(error) = execute(connection, statement.clone()).await {
        if !is_about_locks(&error) {
            return Err(error.into());
        }
        pause_or_give_up(&format!("dropping the index {name}"), &mut attempt, settings).await?;
    }
    Ok(())
}

async fn changes(
    connection: &mut PgConnection,
    wanted: &BTreeMap<String, String>,
) -> Result<Changes, sqlx::Error> {
    let existing = existing(connection).await?;
    let recorded: Vec<String> = sqlx::query_scalar("select indexes from index_set")
        .fetch_one(connection)
        .await?;
    Ok(Changes::between(wanted, &existing, &recorded))
}

/// Without the schema, which is another for temporary tables.
const DEFINITION: &str = r"regexp_replace(pg_get_indexdef(i.indexrelid), ' ON (ONLY )?(\S+\.)?', ' ON ')";

/// The set's indexes by name, in Postgres' own words.
async fn wanted_definitions(
    connection: &mut PgConnection,
    set: &IndexSet,
) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let tables: BTreeSet<&String> = set.indexes.iter().map(|index| &index.table).collect();
    let mut transaction = connection.begin().await?;
    for table in tables {
        let table = quoted(table);
        execute(
            &mut transaction,
            format!("create temporary table {table} (like {table})"),
        )
        .await?;
    }
    execute(&mut transaction, set.sql.to_owned()).await?;
    let read = format!(
        "select c.relname::text, {DEFINITION} from pg_index i join pg_class c on c.oid = i.indexrelid
         where c.relnamespace = pg_my_temp_schema()"
    );
    let found: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(read))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.rollback().await?;
    Ok(found.into_iter().collect())
}

/// The indexes of the schema that no constraint made.
async fn existing(connection: &mut PgConnection) -> Result<BTreeMap<String, Existing>, sqlx::Error> {
    let read = format!(
        "select c.relname::text, {DEFINITION}, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
         where c.relnamespace = current_schema()::regnamespace
           and not exists (select from pg_constraint where conindid = c.oid and contype in ('p', 'u', 'x'))"
    );
    let found: Vec<(String, String, bool)> =
        sqlx::query_as(AssertSqlSafe(read)).fetch_all(connection).await?;
    let all = found.into_iter().map(|(name, definition, is_valid)| {
        let index = Existing { definition, is_valid };
        (name, index)
    });
    Ok(all.collect())
}

async fn record(connection: &mut PgConnection, arm: &str, names: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!("update index_set set arm = $1, indexes = $2", arm, names)
        .execute(connection)
        .await?;
    Ok(())
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_set_of_this_build_is_create_index_statements() {
        let sets = [
            include_str!("../../../migrations/indexes/none.sql"),
            include_str!("../../../migrations/indexes/foreign_keys.sql"),
            include_str!("../../../migrations/indexes/chosen.sql"),
        ];
        for set in sets {
            parse(set).unwrap();
        }
        assert_eq!(parse(sets[0]).unwrap(), []);
        assert!(parse("alter table products set (fillfactor = 90);").is_err());
        let unique = &parse("-- why; so\ncreate unique index a_idx on a\n    (b) where c;").unwrap()[0];
        assert_eq!(
            unique.create_concurrently(),
            "create unique index concurrently a_idx on a\n    (b) where c"
        );
    }

    #[test]
    fn only_what_differs_is_changed() {
        let wanted =
            BTreeMap::from(["same", "new", "changed", "half"].map(|name| (name.to_owned(), name.to_owned())));
        let is = |definition: &str, is_valid| Existing {
            definition: definition.to_owned(),
            is_valid,
        };
        let existing = BTreeMap::from(
            [
                ("same", is("same", true)),
                ("changed", is("other", true)),
                ("half", is("half", false)),
                ("gone", is("gone", true)),
                ("somebodys_own", is("", true)),
            ]
            .map(|(name, index)| (name.to_owned(), index)),
        );
        let recorded = ["same", "changed", "gone", "gone_long_ago"].map(str::to_owned);
        let changes = Changes::between(&wanted, &existing, &recorded);
        assert_eq!(changes.create, ["changed", "half", "new"]);
        assert_eq!(changes.replaced, ["changed"]);
        assert_eq!(changes.broken, ["half"]);
        assert_eq!(changes.drop, ["gone"]);
    }
}
