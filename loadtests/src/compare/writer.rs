//! One arm's writer: a clone of the arm's data, a connection to it, and what it has written there.
//!
//! Every writing scenario gets clones of its own, so that all begin on equal data, and what they leave behind is in
//! nobody's way. Read next: `writes.rs`, which lets two of them take turns.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::stand::{Ground, Stand};
use crate::costs::{Cpu, LAB_MARK, Processes, Statements};
use crate::database::{clone_database, drop_database};
use crate::lessons::Writes;

/// Transactions of the counted pass.
const COUNTED: u32 = 300;

/// So many units are added to each variant that sells, so that none sells out: the product's summary would change with
/// it, which is another workload.
const AMPLE_STOCK: i32 = 1_000_000;

/// One arm's writer.
pub struct Writer {
    connection: PgConnection,
    database: String,
    writes: Writes,
    variants: Vec<Uuid>,
    brand: Uuid,
    category: Uuid,
    next: usize,
    written: i64,
    at_first: Totals,
}

/// What the counted pass found of one transaction.
pub struct Counted {
    /// Log bytes, from `pg_stat_statements`: those of other processes are not among them.
    pub wal_bytes: f64,
    /// Transactions a second.
    pub rate_per_s: f64,
}

/// What one slice took.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    /// Transactions.
    pub written: u64,
    /// The time for all of them.
    pub seconds: f64,
    /// Processor time of Postgres; `None` when it runs elsewhere.
    pub cpu_us: Option<f64>,
}

/// What transactions change in sum: products, of these in stock, variants, units in stock, cents of all prices.
type Totals = [i64; 5];

impl Writer {
    /// Clones the data of an arm under a name of its own and prepares it for these writes.
    pub async fn start(ground: &Ground, stand: &Stand, writes: Writes, name: &str) -> Result<Self> {
        let database = format!("backstock_compare_{name}");
        let server_url = ground.services.database_url("postgres");
        clone_database(&server_url, &stand.template, &database).await?;
        let mut connection = PgConnection::connect(&ground.services.database_url(&database)).await?;
        Statements::enable(&mut connection).await?;
        sqlx::query("set synchronous_commit = off")
            .execute(&mut connection)
            .await?;
        // Chosen by what the rows hold and not by where they lie, so all arms write the same ones, spread over the table.
        let variants: Vec<Uuid> = sqlx::query_scalar(
            "select id from variants where stock_quantity > 0 order by hashtext(id::text), id limit 5000",
        )
        .fetch_all(&mut connection)
        .await?;
        ensure!(
            !variants.is_empty(),
            "no variant is in stock, so none can be sold"
        );
        let (brand, category) =
            sqlx::query_as("select brand_id, category_id from products order by id limit 1")
                .fetch_one(&mut connection)
                .await?;
        if matches!(writes, Writes::Stock) {
            sqlx::query("update variants set stock_quantity = stock_quantity + $1 where id = any($2)")
                .bind(AMPLE_STOCK)
                .bind(&variants)
                .execute(&mut connection)
                .await?;
        }
        let at_first = totals(&mut connection).await?;
        Ok(Self {
            connection,
            database,
            writes,
            variants,
            brand,
            category,
            next: 0,
            written: 0,
            at_first,
        })
    }

    /// Counts what a transaction costs. Before the counted pass the same rows are written uncounted: after a clone the
    /// first change of a page logs the whole page, whatever the arm.
    pub async fn count(&mut self) -> Result<Counted> {
        for _ in 0..COUNTED {
            self.write().await?;
        }
        self.next = 0;
        let before = Statements::snapshot(&mut self.connection).await?;
        let begun = Instant::now();
        for _ in 0..COUNTED {
            self.write().await?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let after = Statements::snapshot(&mut self.connection).await?;
        let costs = Statements::delta(&before, &after)?;
        Ok(Counted {
            wal_bytes: costs.total.wal_bytes as f64 / f64::from(COUNTED),
            rate_per_s: f64::from(COUNTED) / seconds,
        })
    }

    /// Writes so many transactions.
    pub async fn slice(&mut self, transactions: u64, postgres: Processes) -> Result<Slice> {
        let before = Cpu::read(&postgres)?;
        let begun = Instant::now();
        for _ in 0..transactions {
            self.write().await?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let used: Option<Duration> = Cpu::read(&postgres)?.since(&before).postgres;
        Ok(Slice {
            written: transactions,
            seconds,
            cpu_us: used.map(|used| used.as_secs_f64() * 1e6),
        })
    }

    /// Drops the clone. Returns what is wrong with its data, if they are not what the transactions must have left.
    pub async fn stop(mut self, ground: &Ground) -> Result<Option<String>> {
        let now = totals(&mut self.connection).await?;
        let expected = expected(self.writes, self.at_first, self.written);
        self.connection.close().await?;
        drop_database(&ground.services.database_url("postgres"), &self.database).await?;
        Ok((now != expected).then(|| {
            format!(
                "after {} transactions, products, products in stock, variants, units and cents in sum are {now:?} and \
                 must be {expected:?}",
                self.written
            )
        }))
    }

    async fn write(&mut self) -> Result<()> {
        self.next += 1;
        self.written += 1;
        // A stride that shares no factor with the sample's size visits all of it, far apart.
        let variant = self.variants[self.next * 7_919 % self.variants.len()];
        let statement = match self.writes {
            Writes::NewProduct => return self.new_product().await,
            Writes::Price => "update variants set price_cents = price_cents + 1 where id = $1",
            Writes::Stock => "update variants set stock_quantity = stock_quantity - 1 where id = $1",
        };
        sqlx::query(statement)
            .bind(variant)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    async fn new_product(&mut self) -> Result<()> {
        let product = Uuid::now_v7();
        let mut transaction = self.connection.begin().await?;
        sqlx::query(
            "insert into products (id, brand_id, category_id, slug, title, description) \
             values ($1, $2, $3, $4, 'Bramholm Oak Side Table', repeat('A side table of solid oak, oiled by hand. ', 20))",
        )
        .bind(product)
        .bind(self.brand)
        .bind(self.category)
        .bind(format!("lab-{product}"))
        .execute(&mut *transaction)
        .await?;
        for position in 0..2i16 {
            sqlx::query(
                "insert into variants (id, product_id, price_cents, stock_quantity, position, sku, title) \
                 values ($1, $2, 12900, 10, $3, $4, 'One size')",
            )
            .bind(Uuid::now_v7())
            .bind(product)
            .bind(position)
            .bind(format!("LAB-{product}-{position}"))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

async fn totals(connection: &mut PgConnection) -> Result<Totals> {
    let sums = format!(
        "select (select count(*) from products), (select count(*) from products where in_stock), count(*), \
         coalesce(sum(stock_quantity), 0)::bigint, coalesce(sum(price_cents), 0)::bigint from variants {LAB_MARK}"
    );
    let (products, in_stock, variants, units, cents) = sqlx::query_as(sqlx::AssertSqlSafe(sums))
        .fetch_one(connection)
        .await?;
    Ok([products, in_stock, variants, units, cents])
}

/// What the sums must be after so many transactions.
fn expected(writes: Writes, at_first: Totals, written: i64) -> Totals {
    let each: Totals = match writes {
        // Two variants of ten units at 129.00.
        Writes::NewProduct => [1, 1, 2, 20, 25_800],
        Writes::Price => [0, 0, 0, 0, 1],
        Writes::Stock => [0, 0, 0, -1, 0],
    };
    std::array::from_fn(|position| at_first[position] + each[position] * written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sale_takes_a_unit_and_nothing_else() {
        let at_first = [5, 4, 12, 1_000, 90_000];
        assert_eq!(expected(Writes::Stock, at_first, 30), [5, 4, 12, 970, 90_000]);
        assert_eq!(
            expected(Writes::NewProduct, at_first, 2),
            [7, 6, 16, 1_040, 141_600]
        );
    }
}
