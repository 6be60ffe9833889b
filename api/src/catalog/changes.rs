//! The change feed: the catalogue's changes since a process's last read. Triggers write it
//! (`migrations/20261128000009_catalog_changes.sql`); each process reads it four times a second and applies the changes
//! to its cache and its replicas of the catalogue.
//!
//! A reader's position is a snapshot, not a time or a number. Each read returns the rows of exactly those transactions
//! that the previous read's snapshot didn't include. A change is therefore seen exactly once, even if its transaction
//! commits late, or after transactions that started later.

mod follower;
mod snapshot;

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use uuid::Uuid;

pub use self::follower::follow;
pub use self::snapshot::Snapshot;

/// More changes in one read come from an import. Reloading everything is then cheaper than applying each.
const MAX_CHANGES: i64 = 10_000;

/// A process that hasn't read for longer reloads everything, because the worker deletes rows after an hour.
const MAX_BEHIND: Duration = Duration::from_secs(30 * 60);

/// Identifies a history of the database. Snapshots of two histories can't be compared, because the same ids stand for
/// different transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lineage {
    /// The catalogue's epoch, which an operator raises after a restore.
    pub epoch: i64,
    /// Postgres' timeline, which each failover and each point-in-time recovery changes. 0 on a standby.
    pub timeline: u32,
}

/// What changed between two reads.
#[derive(Debug)]
pub struct Changes {
    /// The changes aren't known in detail, so everything must be reloaded. True for a process's first read.
    pub everything: bool,
    /// A brand or a category changed.
    pub reference: bool,
    /// Each product and kind, once per transaction.
    pub products: Vec<(Uuid, ChangeKind)>,
    /// The transaction of each entry of `products`.
    pub transactions: Vec<u64>,
    /// The transactions that changed brands or categories.
    pub reference_transactions: Vec<u64>,
    /// The snapshot of this read, which includes all of these changes.
    pub snapshot: Snapshot,
    /// If it differs from the previous read's, everything may have changed.
    pub lineage: Lineage,
    /// When the read began.
    pub read_at: Instant,
    /// The database's clock at the read, in milliseconds since 1970.
    pub database_ms: u64,
}

/// What changed about a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Its visible data, its visibility, or its existence.
    Product,
    /// The price of a variant.
    Price,
    /// A variant sold out or was restocked.
    Stock,
    /// Its reviews.
    Rating,
}

/// A process's reader of the feed.
#[derive(Debug, Default)]
pub struct Feed {
    position: Option<Position>,
}

/// The state after a read.
#[derive(Debug, Clone)]
pub struct Position {
    snapshot: Snapshot,
    lineage: Lineage,
    read_at: Instant,
}

impl Feed {
    /// The changes since the position. Pass the new position to [`Feed::advance`] once all of them are applied; until
    /// then, the next read returns them again.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn read(&self, connection: &mut PgConnection) -> Result<(Changes, Position), sqlx::Error> {
        let known = self
            .position
            .as_ref()
            .filter(|position| position.read_at.elapsed() < MAX_BEHIND);
        let read_at = Instant::now();
        let rows = read_rows(connection, known.map(|position| &position.snapshot)).await?;
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let snapshot = Snapshot::parse(&first.snapshot)?;
        let lineage = Lineage {
            epoch: first.epoch,
            timeline: u32::from_str_radix(&first.timeline, 16)
                .map_err(|_| sqlx::Error::Protocol(format!("`{}` is no timeline", first.timeline)))?,
        };
        let position = Position {
            snapshot: snapshot.clone(),
            lineage,
            read_at,
        };
        let continues = known.is_some_and(|known| {
            // Transaction ids decrease only when the database was restored.
            known.lineage == lineage && known.snapshot.next() <= snapshot.next()
        });
        let mut changes = Changes {
            everything: !continues || rows.len() as i64 > MAX_CHANGES,
            reference: false,
            products: Vec::new(),
            transactions: Vec::new(),
            reference_transactions: Vec::new(),
            snapshot,
            lineage,
            read_at,
            database_ms: first.database_ms.cast_unsigned(),
        };
        if !changes.everything {
            changes.add(&rows)?;
        }
        Ok((changes, position))
    }

    /// Call it once all changes up to the position are applied.
    pub fn advance(&mut self, position: Position) {
        self.position = Some(position);
    }
}

impl Changes {
    fn add(&mut self, rows: &[Row]) -> Result<(), sqlx::Error> {
        for row in rows {
            let (Some(transaction), Some(kind)) = (row.transaction, row.kind.as_deref()) else {
                continue; // The row that holds only the snapshot.
            };
            let kind = match kind {
                "price" => ChangeKind::Price,
                "stock" => ChangeKind::Stock,
                "rating" => ChangeKind::Rating,
                "product" => ChangeKind::Product,
                // Brands, categories, and kinds that a later release adds to the feed.
                _ => {
                    self.reference = true;
                    self.reference_transactions.push(transaction.cast_unsigned());
                    continue;
                }
            };
            let product = row.product_id.ok_or(sqlx::Error::RowNotFound)?;
            self.products.push((product, kind));
            self.transactions.push(transaction.cast_unsigned());
        }
        Ok(())
    }
}

struct Row {
    snapshot: String,
    epoch: i64,
    timeline: String,
    database_ms: i64,
    transaction: Option<i64>,
    product_id: Option<Uuid>,
    kind: Option<String>,
}

/// One statement, so that the snapshot and the rows are consistent. It always returns a row, for the snapshot and the
/// epoch.
async fn read_rows(connection: &mut PgConnection, since: Option<&Snapshot>) -> Result<Vec<Row>, sqlx::Error> {
    // Without a position, the comparison is with null and matches no change.
    let since = since.map(Snapshot::to_string);
    sqlx::query_as!(
        Row,
        r#"select pg_current_snapshot()::text as "snapshot!", catalog_epoch.epoch,
                  -- The first eight digits of a WAL file's name.
                  case when pg_is_in_recovery() then '0' else left(pg_walfile_name(pg_current_wal_lsn()), 8) end as "timeline!",
                  (extract(epoch from statement_timestamp()) * 1000)::bigint as "database_ms!",
                  changed.xid::text::bigint as "transaction?", changed.product_id as "product_id?", changed.kind as "kind?"
           from catalog_epoch
           left join lateral (
               (select xid, product_id, kind from catalog_changes
                where xid >= pg_snapshot_xmax($1::text::pg_snapshot) limit $2)
               union all
               -- Those that ran while the snapshot was taken.
               (select xid, product_id, kind from catalog_changes
                where xid = any (array(select pg_snapshot_xip($1::text::pg_snapshot))) limit $2)
           ) changed on true"#,
        since,
        MAX_CHANGES + 1
    )
    .fetch_all(connection)
    .await
}
