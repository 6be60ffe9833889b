//! Postgres dies under load and comes back, twice: buyers are told to wait, and everything that they were told is true.
//!
//! The Postgres of the other tests can't be killed, so this one has servers of its own.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use loadtests::load::{Request, Target, fetch};
use loadtests::trials::Town;
use local_services::Services;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::aftermath::{Allowed, Market};
use super::buyers::{Buyers, UNANSWERED};
use super::ground::{ALL_PARTS, town, with_own_servers};
use super::town_support::services;

const NAME: &str = "postgres::a_postgres_that_dies_under_load_loses_no_order_and_nobody_is_told_nonsense";

const BUYERS: usize = 6;
const ORDERS_A_BUYER: usize = 40;

/// Its connections just break; they are told that it shuts down at once. Both leave it to the log to recover what was
/// committed.
const DEATHS: [Death; 2] = [Death::Killed, Death::ShutDownAtOnce];

/// Paid orders between two deaths.
const ORDERS_BETWEEN: usize = 40;

/// Far above what anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    Killed,
    ShutDownAtOnce,
}

#[test]
fn a_postgres_that_dies_under_load_loses_no_order_and_nobody_is_told_nonsense() {
    with_own_servers(NAME, 27000..28000, die_under_load());
}

async fn die_under_load() {
    let mut servers = vec![services().await];
    let mut town = town(&servers[0], 32, "optimized").await;
    keep_what_is_acknowledged(&mut town).await;
    let mut market = Market::open(&mut town).await;
    town.start_worker(ALL_PARTS).await.unwrap();
    town.since = Uuid::now_v7();

    let requests = market
        .carts
        .orders(&mut town.monitor, BUYERS * ORDERS_A_BUYER)
        .await
        .unwrap();
    let buyers = Buyers::send(&town, &requests, ORDERS_A_BUYER);
    for death in DEATHS {
        buyers.until_more_have_paid(ORDERS_BETWEEN).await;
        end(servers.last().unwrap().postgres_pid().unwrap(), death);
        servers.push(services().await);
    }
    let (orders, told) = buyers.all().await;
    let allowed = [
        "201",
        "409 request_in_progress",
        "503 overloaded",
        "503 unavailable",
        UNANSWERED,
    ];
    assert!(
        told.keys().all(|what| allowed.contains(&what.as_str())),
        "{told:?}"
    );
    assert!(
        told.contains_key("503 unavailable"),
        "somebody met the fault: {told:?}"
    );

    town.monitor = PgConnection::connect(&database_url(&servers, &town))
        .await
        .unwrap();
    let fulfilled = market.assert_adds_up(&mut town, Allowed::default()).await;
    assert_eq!(fulfilled, requests.len() as i64);
    let known: i64 = sqlx::query_scalar(AssertSqlSafe(
        "select count(*) from orders where id = any($1) and status = 'fulfilled'".to_owned(),
    ))
    .bind(&orders)
    .fetch_one(&mut town.monitor)
    .await
    .unwrap();
    assert_eq!(known, fulfilled, "every order that somebody was told of is there");
    let internal = Target::new(town.shop().internal_address());
    let ready = fetch(&internal, &Request::get("/readyz").unwrap()).await.unwrap();
    assert_eq!(ready.status, 200);
    // Api and worker are the processes that they were: each is asked to end, and ends in order.
    town.stop().await.unwrap();
}

/// The servers of tests don't wait for their disk, so they forget what was just committed when they die. Here a commit is
/// written before it is acknowledged: the machine goes on, so the kernel keeps it.
async fn keep_what_is_acknowledged(town: &mut Town) {
    let setting = "do $$ begin execute format('alter database %I set synchronous_commit = on', current_database()); end $$";
    sqlx::raw_sql(setting).execute(&mut town.monitor).await.unwrap();
    town.shop = None;
    town.start_api().await.unwrap();
}

/// Ends the postmaster with all its children.
fn end(postmaster: u32, death: Death) {
    let signal = |signal: &str, processes: &[u32]| {
        let processes = processes.iter().map(u32::to_string);
        // One that has ended by itself meanwhile gets none.
        let _ = Command::new("kill").arg(signal).args(processes).output().unwrap();
    };
    // Stopped first, so that it makes no more children.
    signal("-STOP", &[postmaster]);
    let mut all = children(postmaster);
    all.push(postmaster);
    match death {
        Death::Killed => signal("-KILL", &all),
        Death::ShutDownAtOnce => {
            signal("-QUIT", &[postmaster]);
            signal("-CONT", &[postmaster]);
        }
    }
    let begun = Instant::now();
    while all.iter().any(|process| is_alive(*process)) {
        assert!(begun.elapsed() < PATIENCE, "Postgres doesn't end");
        // Between two looks: the loop waits for the end, and fails without it.
        std::thread::sleep(PAUSE);
    }
}

fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|process| stat(*process).is_some_and(|(_, of)| of == parent))
        .collect()
}

fn is_alive(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// A process's state and its parent.
fn stat(process: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(PathBuf::from(format!("/proc/{process}/stat"))).ok()?;
    // The second field is the program's name in parentheses and may contain anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

fn database_url(servers: &[Services], town: &Town) -> String {
    let (_, database) = town.api.database_url.rsplit_once('/').unwrap();
    servers.last().unwrap().database_url(database)
}
