//! Writing workloads: what an index set costs the statements that change the catalogue.
//!
//! They go to the database itself, on one connection, since no route of the catalogue writes. Commits don't wait for the
//! disk: that wait is the same for every arm and would hide what differs. Each arm writes to its own clone, which is
//! dropped afterwards.

use std::time::{Duration, Instant};

use anyhow::Result;
use local_services::Services;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::plan::SlicePlan;
use super::progress::Progress;
use super::stand::Stand;
use crate::costs::{Cpu, LAB_MARK, Processes};
use crate::lessons::Writes;
use crate::report::{ArmReport, Cost, Metric};

/// Transactions of the counted pass.
const COUNTED: u32 = 300;

/// One arm's writer.
pub struct Writer {
    connection: PgConnection,
    variants: Vec<Uuid>,
    brand: Uuid,
    category: Uuid,
    next: usize,
}

/// One arm's slices, block by block.
#[derive(Debug, Default)]
struct Slices {
    throughput: Vec<f64>,
    cpu_us: Vec<f64>,
    written: u64,
    seconds: f64,
}

/// What was measured of a pair of arms.
pub struct WritePair {
    /// The baseline, the arm.
    pub arms: (ArmReport, ArmReport),
    /// Values block by block, (baseline, arm).
    pub pairs: Vec<(Metric, Vec<(f64, f64)>)>,
}

impl Writer {
    /// Connects to an arm's database.
    pub async fn connect(stand: &Stand) -> Result<Self> {
        let mut connection = PgConnection::connect(&stand.database_url).await?;
        sqlx::query("set synchronous_commit = off")
            .execute(&mut connection)
            .await?;
        let variants =
            sqlx::query_scalar("select id from variants tablesample system (5) repeatable (1) limit 5000")
                .fetch_all(&mut connection)
                .await?;
        let (brand, category) =
            sqlx::query_as("select brand_id, category_id from products order by id limit 1")
                .fetch_one(&mut connection)
                .await?;
        Ok(Self {
            connection,
            variants,
            brand,
            category,
            next: 0,
        })
    }

    async fn write(&mut self, writes: Writes) -> Result<()> {
        self.next += 1;
        // A stride that shares no factor with the sample's size visits all of it, far apart.
        let variant = self
            .variants
            .get(self.next * 7_919 % self.variants.len().max(1))
            .copied();
        match writes {
            Writes::NewProduct => self.new_product().await,
            Writes::Price => {
                sqlx::query("update variants set price_cents = price_cents + 1 where id = $1")
                    .bind(variant)
                    .execute(&mut self.connection)
                    .await?;
                Ok(())
            }
            Writes::Stock => {
                sqlx::query("update variants set stock_quantity = stock_quantity + 1 where id = $1")
                    .bind(variant)
                    .execute(&mut self.connection)
                    .await?;
                Ok(())
            }
        }
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

    /// Log bytes of a transaction, over a counted pass. Before it the same rows are written uncounted: after a clone the
    /// first change of a page logs the whole page, whatever the arm.
    async fn count(&mut self, writes: Writes) -> Result<f64> {
        for _ in 0..COUNTED {
            self.write(writes).await?;
        }
        self.next = 0;
        let here = format!("select (pg_current_wal_insert_lsn() - '0/0')::float8 {LAB_MARK}");
        let before: f64 = sqlx::query_scalar(sqlx::AssertSqlSafe(here.clone()))
            .fetch_one(&mut self.connection)
            .await?;
        for _ in 0..COUNTED {
            self.write(writes).await?;
        }
        let after: f64 = sqlx::query_scalar(sqlx::AssertSqlSafe(here))
            .fetch_one(&mut self.connection)
            .await?;
        Ok((after - before) / f64::from(COUNTED))
    }

    async fn slice(
        &mut self,
        writes: Writes,
        length: Duration,
        postgres: Processes,
    ) -> Result<(u64, f64, f64)> {
        let before = Cpu::read(&postgres)?;
        let begun = Instant::now();
        let mut written = 0;
        while begun.elapsed() < length {
            self.write(writes).await?;
            written += 1;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let used = Cpu::read(&postgres)?.since(&before).postgres.unwrap_or_default();
        Ok((written, seconds, used.as_secs_f64() * 1e6))
    }
}

impl Slices {
    fn add(&mut self, early: (u64, f64, f64), late: (u64, f64, f64)) {
        let (written, seconds, cpu_us) = (early.0 + late.0, early.1 + late.1, early.2 + late.2);
        self.throughput.push(written as f64 / seconds);
        self.cpu_us.push(cpu_us / written.max(1) as f64);
        self.written += written;
        self.seconds += seconds;
    }

    fn report(&self, arm: &str, wal_bytes: f64) -> ArmReport {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let mut report = ArmReport {
            name: arm.to_owned(),
            cost: Cost {
                wal_bytes: Some(wal_bytes),
                ..Cost::default()
            },
            throughput_rps: Some(self.written as f64 / self.seconds),
            errors: Some(0),
            ..ArmReport::default()
        };
        report.cpu_us_per_request.postgres = Some(mean(&self.cpu_us));
        report
    }
}

/// Measures two arms in ABBA blocks.
pub async fn measure(
    writes: Writes,
    stands: (&Stand, &Stand),
    services: &Services,
    plan: SlicePlan,
    progress: &Progress,
) -> Result<WritePair> {
    let postgres = Processes {
        postgres: services.postgres_pid(),
        ..Processes::default()
    };
    let (mut first, mut second) = (Writer::connect(stands.0).await?, Writer::connect(stands.1).await?);
    let wal = (first.count(writes).await?, second.count(writes).await?);
    let (mut a, mut b) = (Slices::default(), Slices::default());
    for _ in 0..plan.blocks {
        let a1 = first.slice(writes, plan.slice, postgres).await?;
        let b1 = second.slice(writes, plan.slice, postgres).await?;
        let b2 = second.slice(writes, plan.slice, postgres).await?;
        let a2 = first.slice(writes, plan.slice, postgres).await?;
        a.add(a1, a2);
        b.add(b1, b2);
        progress.advance(4);
    }
    let zip = |a: &[f64], b: &[f64]| a.iter().copied().zip(b.iter().copied()).collect();
    let mut pairs = vec![(Metric::Throughput, zip(&a.throughput, &b.throughput))];
    if postgres.postgres.is_some() {
        pairs.push((Metric::CpuPostgres, zip(&a.cpu_us, &b.cpu_us)));
    }
    Ok(WritePair {
        arms: (a.report(stands.0.arm, wal.0), b.report(stands.1.arm, wal.1)),
        pairs,
    })
}
