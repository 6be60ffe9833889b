//! A shop whose database is lost and goes back to a backup, or whose broker loses its queues, by the scripts that operators
//! are given: what was there is there again, nothing old is served, and what was committed since is gone, with the
//! consequences that docs/OPERATIONS.md names.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy allows it only inside #[test] functions"
)]

mod town_support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use hyper::Uri;
use loadtests::database::drop_database;
use loadtests::load::{Request, Target, fetch};
use loadtests::trials::{Carts, Goods, Town, empty_vhost};
use local_services::Services;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use town_support::{services, town};

const PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);

/// What was paid before the backup and said to the broker, but not worked off.
const SAID: usize = 3;
/// What was paid before the backup, and waits in the outbox.
const UNSAID: usize = 2;
/// What was paid after the backup.
const LOST: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_goes_back_to_its_backup_and_what_was_lost_since_is_repaired_as_far_as_it_can_be() {
    let services = services().await;
    let mut town = town(&services, 40, "optimized", &[]).await;
    let goods = Goods::choose(&mut town.monitor, 4, 1, 100).await.unwrap();
    let mut carts = Carts::of(goods);
    sign_somebody_in(&mut town.monitor).await;
    let scripts = Scripts::new(&services, &town.api.database_url);

    buy(&mut town, &mut carts, SAID).await;
    town.start_worker("relay").await.unwrap();
    town.wait_until_said(PATIENCE).await.unwrap();
    town.stop_worker().await.unwrap();
    buy(&mut town, &mut carts, UNSAID).await;
    let slug = text(
        &mut town.monitor,
        "select slug from products where active order by slug limit 1",
    )
    .await;
    let old_price = price(&town, &slug).await.0;
    let before = digests(&mut town.monitor).await;
    let sold_before = number(&mut town.monitor, SALES).await;
    // Those of the generated history among them.
    let paid_before = number(
        &mut town.monitor,
        "select count(*) from orders where status = 'paid'",
    )
    .await;
    let file = scripts.backup();

    let lost_numbers = live_on(&mut town, &mut carts, &slug).await;
    let broken = scripts.run("restore", &[file.to_str().unwrap()]);
    assert_eq!(
        broken.status.code(),
        Some(1),
        "a database that is there is left alone"
    );

    lose(&services, &mut town).await;
    scripts.restore(&file, paid_before);
    town.monitor = PgConnection::connect(&town.api.database_url).await.unwrap();
    assert_eq!(digests(&mut town.monitor).await, before);
    let signed_in = "select count(*) from sessions where revoked_at is null";
    assert_eq!(
        number(&mut town.monitor, signed_in).await,
        0,
        "everybody has to sign in again"
    );

    // Redis kept what it had: answers of the time before the backup, and of the time that never was.
    town.start_api().await.unwrap();
    until_price_is_kept(&town, &slug, old_price).await;
    change_price(&mut town.monitor, &slug, 78).await;
    until_price(&town, &slug, 78).await;

    repair(&mut town, &scripts).await;
    until_sold(&mut town, sold_before + (SAID + UNSAID) as i64).await;

    assert_done_once_but_for_mails(&town).await;
    let new_number = buy(&mut town, &mut carts, 1).await[0];
    assert!(
        lost_numbers.iter().all(|lost| new_number > *lost),
        "{new_number} {lost_numbers:?}"
    );
    town.stop().await.unwrap();
}

/// By the third parties, which forgot nothing.
async fn assert_done_once_but_for_mails(town: &Town) {
    let all = (SAID + UNSAID + LOST) as u64;
    let twice = (SAID + UNSAID) as u64;
    assert_eq!(
        town.simulators.payments().await.unwrap(),
        all,
        "lost orders were paid"
    );
    assert_eq!(town.simulators.charged_twice().await.unwrap(), 0);
    assert_eq!(
        labels(town).await,
        (all, 0),
        "a label each, however often it is asked for"
    );
    assert_eq!(
        town.simulators.mails().await.unwrap(),
        all + twice,
        "what was sent after the backup is sent again"
    );
}

/// What the backup doesn't have: a price, two orders, and the work on all others. The lost orders' numbers.
async fn live_on(town: &mut Town, carts: &mut Carts, slug: &str) -> Vec<i64> {
    let sold = number(&mut town.monitor, SALES).await;
    change_price(&mut town.monitor, slug, 77).await;
    until_price(town, slug, 77).await;
    let numbers = buy(town, carts, LOST).await;
    town.start_worker("relay,consumers").await.unwrap();
    assert_eq!(town.drain(PATIENCE).await.unwrap(), 0);
    // That is no part of an order's being done.
    until_sold(town, sold + (SAID + UNSAID + LOST) as i64).await;
    town.stop_worker().await.unwrap();
    numbers
}

/// The outbox says again what it held. What it had said is in no queue any more, and nobody knows.
async fn repair(town: &mut Town, scripts: &Scripts) {
    town.start_worker("relay,consumers").await.unwrap();
    until_undone(town, SAID).await;
    town.stop_worker().await.unwrap();
    assert_eq!(town.undone().await.unwrap(), SAID as i64);
    assert_eq!(scripts.republish(), SAID);
    assert_eq!(scripts.republish(), 0, "the events are in the outbox already");
    town.start_worker("relay,consumers").await.unwrap();
    assert_eq!(town.drain(PATIENCE).await.unwrap(), 0);
    assert_eq!(scripts.republish(), 0, "all is done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_lost_with_its_queues_is_said_again_and_nobody_gets_a_second_mail() {
    let services = services().await;
    let mut town = town(&services, 41, "optimized", &[]).await;
    let goods = Goods::choose(&mut town.monitor, 4, 1, 100).await.unwrap();
    let mut carts = Carts::of(goods);
    let scripts = Scripts::new(&services, &town.api.database_url);
    buy(&mut town, &mut carts, SAID).await;
    town.start_worker("relay").await.unwrap();
    town.wait_until_said(PATIENCE).await.unwrap();
    town.stop_worker().await.unwrap();
    let confirmed = "insert into order_events (order_id, id, event) \
                     select id, gen_random_uuid(), 'confirmation_sent' from orders order by number desc limit 1";
    sqlx::raw_sql(confirmed).execute(&mut town.monitor).await.unwrap();

    empty_vhost(&town.amqp_url).await.unwrap();
    buy(&mut town, &mut carts, UNSAID).await;
    town.start_worker("relay,consumers").await.unwrap();
    until_undone(&mut town, SAID).await;
    town.stop_worker().await.unwrap();
    assert_eq!(town.undone().await.unwrap(), SAID as i64, "nobody looks for them");
    assert_eq!(scripts.republish(), SAID);
    town.start_worker("relay,consumers").await.unwrap();
    assert_eq!(town.drain(PATIENCE).await.unwrap(), 0);
    let all = (SAID + UNSAID) as u64;
    assert_eq!(labels(&town).await, (all, 0));
    assert_eq!(
        town.simulators.mails().await.unwrap(),
        all - 1,
        "one had its mail before"
    );
    town.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_damaged_is_not_restored_and_a_database_without_a_shop_is_no_backup() {
    let services = services().await;
    let url = services.database_url("backstock_backup_of_nothing");
    let server_url = services.database_url("postgres");
    drop_database(&server_url, "backstock_backup_of_nothing")
        .await
        .unwrap();
    let scripts = Scripts::new(&services, &url);
    let file = scripts.directory.join("damaged.dump");
    std::fs::write(&file, "PGDMP and then nonsense").unwrap();
    let restored = scripts.run("restore", &[file.to_str().unwrap()]);
    assert_eq!(restored.status.code(), Some(1), "{restored:?}");
    std::fs::write(
        scripts.directory.join("damaged.dump.sha256"),
        format!("{:064}  damaged.dump\n", 0),
    )
    .unwrap();
    let restored = scripts.run("restore", &[file.to_str().unwrap()]);
    assert!(
        said(&restored).contains("its SHA-256 doesn't match"),
        "{restored:?}"
    );

    let scripts = Scripts::new(&services, &server_url);
    let backed_up = scripts.run("backup", &[scripts.directory.to_str().unwrap()]);
    assert_eq!(backed_up.status.code(), Some(1), "{backed_up:?}");
    assert!(
        said(&backed_up).contains("is this the database of a shop?"),
        "{backed_up:?}"
    );
    assert_eq!(
        std::fs::read_dir(&scripts.directory).unwrap().count(),
        0,
        "nothing is left of it"
    );
    for (script, arguments) in [
        ("backup", &[][..]),
        ("restore", &[]),
        ("republish", &["yesterday", "never"]),
    ] {
        assert_eq!(scripts.run(script, arguments).status.code(), Some(2), "{script}");
    }
}

/// The scripts of `deploy/backup/`, for one database.
struct Scripts {
    database_url: String,
    programs: PathBuf,
    directory: PathBuf,
    begun: String,
}

impl Scripts {
    fn new(services: &Services, database_url: &str) -> Self {
        static MADE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("backstock-backup-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let begun = time::OffsetDateTime::now_utc() - Duration::from_secs(60);
        Self {
            database_url: database_url.to_owned(),
            programs: services.postgres_bin(),
            directory,
            begun: format!("@{}", begun.unix_timestamp()),
        }
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../deploy/backup")
            .join(script);
        let mut command = Command::new(path);
        command
            .args(arguments)
            .env("BACKSTOCK_DATABASE_URL", &self.database_url);
        command.env("PG_BIN", &self.programs).output().unwrap()
    }

    fn backup(&self) -> PathBuf {
        let written = self.run("backup", &[self.directory.to_str().unwrap()]);
        assert!(written.status.success(), "{written:?}");
        let files = std::fs::read_dir(&self.directory)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let dumps: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|end| end == "dump"))
            .collect();
        assert_eq!(dumps.len(), 1, "{dumps:?}");
        dumps[0].clone()
    }

    /// `paid` orders are in the backup and not fulfilled.
    fn restore(&self, file: &Path, paid: i64) {
        let restored = self.run("restore", &[file.to_str().unwrap()]);
        assert!(restored.status.success(), "{restored:?}");
        let expected = format!("{paid} orders are paid and not fulfilled, {UNSAID} events wait");
        assert!(said(&restored).contains(&expected), "{restored:?}");
    }

    /// Republishes the lost events of this test and returns their number.
    fn republish(&self) -> usize {
        let done = self.run("republish", &[&self.begun, "now"]);
        assert!(done.status.success(), "{done:?}");
        said(&done).split(' ').nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Buys so many carts. The orders' numbers.
async fn buy(town: &mut Town, carts: &mut Carts, count: usize) -> Vec<i64> {
    let requests = carts.orders(&mut town.monitor, count).await.unwrap();
    let mut numbers = Vec::new();
    for request in requests.iter() {
        let answer = fetch(&town.shop().target(), request).await.unwrap();
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        let order: Value = serde_json::from_slice(&answer.body).unwrap();
        numbers.push(order["number"].as_i64().unwrap());
    }
    numbers
}

async fn sign_somebody_in(connection: &mut PgConnection) {
    let sql = "insert into sessions (id, customer_id, expires_at) \
               select gen_random_uuid(), id, now() + interval '1 day' from customers limit 1";
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

/// All that the database holds, by table: how many rows, and a digest of them. Sign-ins are revoked by a restore, and caches emptied.
async fn digests(connection: &mut PgConnection) -> BTreeMap<String, String> {
    let tables = "select tablename::text from pg_tables where schemaname = 'public' and tablename not in ('sessions', 'catalog_epoch', 'catalog_changes')";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    let mut digests = BTreeMap::new();
    for table in tables {
        let sql = format!(
            "select count(*) || ' ' || coalesce(md5(string_agg(md5(t::text), '' order by md5(t::text))), '') from {table} t"
        );
        digests.insert(table, text(connection, &sql).await);
    }
    assert!(digests.len() > 20, "{digests:?}");
    digests
}

async fn lose(services: &Services, town: &mut Town) {
    town.kill();
    let server_url = services.database_url("postgres");
    town.monitor = PgConnection::connect(&server_url).await.unwrap();
    let name = town.api.database_url.rsplit('/').next().unwrap().to_owned();
    drop_database(&server_url, &name).await.unwrap();
}

async fn change_price(connection: &mut PgConnection, slug: &str, price: i64) {
    let sql = format!(
        "update variants set price_cents = {price} where product_id = (select id from products where slug = '{slug}')"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .unwrap();
}

/// As customers see it, and whether the cache had it.
async fn price(town: &Town, slug: &str) -> (i64, bool) {
    let request = Request::get(&format!("/v1/products/{slug}")).unwrap();
    let answer = fetch(&town.shop().target(), &request).await.unwrap();
    assert_eq!(answer.status, 200);
    let product: Value = serde_json::from_slice(&answer.body).unwrap();
    let was_kept = answer.headers["server-timing"]
        .to_str()
        .unwrap()
        .contains("desc=\"hit\"");
    (product["price"]["amount"].as_i64().unwrap(), was_kept)
}

/// A change is seen within a second; this only waits for that.
async fn until_price(town: &Town, slug: &str, expected: i64) {
    let begun = Instant::now();
    while price(town, slug).await.0 != expected {
        pause(begun, "the new price is never seen").await;
    }
}

/// Until the cache answers; until then and then it is this price.
async fn until_price_is_kept(town: &Town, slug: &str, expected: i64) {
    let begun = Instant::now();
    loop {
        let (seen, was_kept) = price(town, slug).await;
        assert_eq!(seen, expected, "from the cache: {was_kept}");
        if was_kept {
            return;
        }
        pause(begun, "the cache is never used").await;
    }
}

async fn until_undone(town: &mut Town, expected: usize) {
    let begun = Instant::now();
    while town.unsaid().await.unwrap() > 0 || town.undone().await.unwrap() != expected as i64 {
        pause(begun, "another number of orders stays undone").await;
    }
}

/// Between two looks at what is waited for.
async fn pause(begun: Instant, in_vain: &str) {
    assert!(begun.elapsed() < PATIENCE, "{in_vain}");
    // The loops around it wait for an event, and fail without it.
    tokio::time::sleep(POLL).await;
}

const SALES: &str =
    "select (select sum(sales_count) from products) + coalesce((select sum(sold) from product_sales), 0)";

async fn until_sold(town: &mut Town, expected: i64) {
    let begun = Instant::now();
    while number(&mut town.monitor, SALES).await != expected {
        pause(begun, "another number of units counts as sold").await;
    }
}

/// Labels that were made, and those that were made twice.
async fn labels(town: &Town) -> (u64, u64) {
    let environment = town.simulators.environment();
    let (_, url) = environment
        .iter()
        .find(|(name, _)| name == "BACKSTOCK_CARRIER_URL")
        .unwrap();
    let uri: Uri = url.parse().unwrap();
    let target = Target::new(uri.authority().unwrap().as_str().parse().unwrap());
    let answer = fetch(&target, &Request::get("/v1/totals").unwrap())
        .await
        .unwrap();
    let totals: Value = serde_json::from_slice(&answer.body).unwrap();
    (
        totals["labels"].as_u64().unwrap(),
        totals["doubled"].as_u64().unwrap(),
    )
}

async fn text(connection: &mut PgConnection, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    let sql = AssertSqlSafe(format!("select ({sql})::bigint"));
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}
