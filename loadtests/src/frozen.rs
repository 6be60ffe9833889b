//! The shop as it was with the migrations up to [`LAST_MIGRATION`]: its schema, its index set, rows, and the statements of
//! an order (`loadtests/frozen/`). What is measured against it doesn't move when the shop gets better, and what is upgraded
//! from it is what is out there.
//!
//! The schema is that of the migrations, which are never edited once they have landed. The rest is kept in files of its own.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::database::Server;
use crate::limits::Pgbench;
use dataset::Scale;
use dataset::tables::hex;

/// The last migration of the frozen schema.
pub const LAST_MIGRATION: i64 = 20_261_121_000_006;

/// An order of one line, for `pgbench`; the values that are the same in all orders; the cart that it looks up.
const ORDER: &str = include_str!("../frozen/order.pgbench");
const ORDER_VARIABLES: &str = include_str!("../frozen/order.variables");
const ORDER_CART: &str = include_str!("../frozen/order_cart.sql");

/// Different variants that are bought, which [`ORDER`] knows as well.
const GOODS: i64 = 64;

/// More units than any run sells.
const PLENTY: i32 = 1_000_000;

const INDEXES: &str = include_str!("../frozen/chosen.sql");
const ROWS: &str = include_str!("../frozen/rows.sql");

/// What the names of all frozen templates begin with.
const PREFIX: &str = "backstock_frozen_";

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Makes the schema, rows of a scale, and the index set in an empty database, with statistics.
pub async fn fill(connection: &mut PgConnection, scale: Scale) -> Result<()> {
    schema().run(&mut *connection).await?;
    let rows = ROWS
        .replace("{products}", &scale.products().to_string())
        .replace("{customers}", &scale.customers().to_string())
        .replace("{orders}", &scale.orders().to_string());
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(rows))
        .execute(&mut *transaction)
        .await
        .context("cannot make the frozen rows: a role is needed that may set session_replication_role")?;
    sqlx::raw_sql(INDEXES).execute(&mut *transaction).await?;
    let recorded = "update index_set set arm = 'chosen', indexes = array(
        select indexname::text from pg_indexes where schemaname = current_schema() and indexname like '%\\_idx')";
    sqlx::raw_sql(recorded).execute(&mut *transaction).await?;
    transaction.commit().await?;
    sqlx::raw_sql("vacuum (analyze)").execute(connection).await?;
    Ok(())
}

/// Returns the name of the template with frozen rows of this scale, and makes it first if it is missing.
pub async fn ensure_frozen_template(server_url: &str, scale: Scale) -> Result<String> {
    let prefix = format!("{PREFIX}{scale}_");
    let name = format!("{prefix}{}", digest());
    let mut server = Server::connect(server_url).await?;
    if server.has(&name).await? {
        return Ok(name);
    }
    for (outdated, _) in server.with_prefix(&prefix).await? {
        server.drop(&outdated).await?;
    }
    eprintln!("Making the frozen database for scale {scale}; it is kept for later runs.");
    let building = format!("{PREFIX}building");
    server.create(&building).await?;
    let mut connection = PgConnection::connect(&server.url_of(&building)).await?;
    fill(&mut connection, scale).await?;
    connection.close().await?;
    server.seal(&building, &name).await?;
    Ok(name)
}

/// Prepares `pgbench` to place orders in a database that [`fill`] has filled, each connection of a variant of its own.
pub async fn order_pgbench(program: &Path, database_url: &str) -> Result<Pgbench> {
    let mut connection = PgConnection::connect(database_url).await?;
    let goods: Vec<Uuid> = sqlx::query_scalar(
        "update variants set stock_quantity = $2
         from (select id from products where active order by sales_count desc, id limit $1) product
         where product_id = product.id and position = 0
         returning variants.id",
    )
    .bind(GOODS)
    .bind(PLENTY)
    .fetch_all(&mut connection)
    .await?;
    ensure!(goods.len() as i64 == GOODS, "the database has too few products");
    let has_cart: bool = sqlx::query_scalar("select exists (select from cart_items)")
        .fetch_one(&mut connection)
        .await?;
    if !has_cart {
        sqlx::raw_sql(ORDER_CART).execute(&mut connection).await?;
    }
    connection.close().await?;
    let goods: Vec<String> = goods.iter().map(Uuid::to_string).collect();
    let mut variables: Vec<String> = ORDER_VARIABLES.lines().map(str::to_owned).collect();
    variables.extend([format!("goods={{{}}}", goods.join(",")), "begins=1".to_owned()]);
    Pgbench::of_scripts(program, database_url, &[ORDER.to_owned()], variables, "n")
}

fn schema() -> Migrator {
    let frozen = MIGRATIONS
        .iter()
        .filter(|migration| migration.version <= LAST_MIGRATION);
    Migrator::with_migrations(frozen.cloned().collect())
}

fn digest() -> String {
    let mut hash = Sha256::new();
    for migration in schema().iter() {
        hash.update(&migration.checksum);
    }
    hash.update(INDEXES);
    hash.update(ROWS);
    let mut digits = hex(&hash.finalize());
    digits.truncate(7);
    digits
}
