//! Postgres dies under load and comes back, twice: buyers are told to wait, and everything that they were told is true.
//!
//! The Postgres of the other tests can't be killed. So this test runs itself again with servers of its own.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadtests::load::{Request, Target, fetch};
use loadtests::trials::Town;
use local_services::Services;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use uuid::Uuid;

use super::aftermath::{Allowed, Market};
use super::ground::{ALL_PARTS, services, town};

const MARK: &str = "BACKSTOCK_TEST_HAS_ITS_OWN_SERVERS";
const NAME: &str = "postgres::a_postgres_that_dies_under_load_loses_no_order_and_nobody_is_told_nonsense";

const BUYERS: usize = 6;
const ORDERS_A_BUYER: usize = 40;

/// Its connections just break; they are told that it shuts down at once. Both leave it to the log to recover what was
/// committed.
const DEATHS: [Death; 2] = [Death::Killed, Death::ShutDownAtOnce];

/// Paid orders between two deaths.
const ORDERS_BETWEEN: usize = 40;

/// Messages that the worker may have in hand when Postgres dies: `BACKSTOCK_CONCURRENCY` of the ground.
const EMAILS_IN_HAND: i64 = 4;

/// Far above what anything takes: a key that is locked to a request that died is free after twelve seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks, and before a buyer asks again.
const PAUSE: Duration = Duration::from_millis(20);

/// What a buyer notes whom nobody answered in time.
const UNANSWERED: &str = "no answer in time";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    Killed,
    ShutDownAtOnce,
}

/// What buyers were told, and how often.
type Told = BTreeMap<String, usize>;

#[test]
fn a_postgres_that_dies_under_load_loses_no_order_and_nobody_is_told_nonsense() {
    if std::env::var_os(MARK).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(die_under_load());
    }
    let home = std::env::temp_dir().join(format!("backstock-lab-{}", std::process::id()));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(MARK, "1")
        .env("BACKSTOCK_HOME", &home)
        .env("BACKSTOCK_PORT_BASE", free_port_base().to_string())
        .env_remove("BACKSTOCK_DATABASE_URL")
        .env_remove("BACKSTOCK_REDIS_URL")
        .env_remove("BACKSTOCK_AMQP_URL")
        .output()
        .unwrap();
    // Its servers end with their last user, by what is in that folder: only then may it go.
    let guardian = home.join("tests/guardian");
    if guardian.exists() {
        let stopped = Command::new("sh").arg(&guardian).arg("stop").status().unwrap();
        assert!(stopped.success(), "its servers could not be stopped");
    }
    let _ = std::fs::remove_dir_all(&home);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("1 passed"),
        "it was not found under its name: {said}"
    );
}

/// The first of 20 ports, of which local-services uses the second half for tests.
fn free_port_base() -> u16 {
    let is_free =
        |base: &u16| (base + 10..base + 15).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    (27000..29000)
        .step_by(20)
        .find(is_free)
        .expect("twenty free ports")
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
    let paid = Arc::new(watch::Sender::new(0));
    let mut buyers = JoinSet::new();
    for buyer in requests.chunks(ORDERS_A_BUYER) {
        buyers.spawn(buy(town.shop().target(), buyer.to_vec(), Arc::clone(&paid)));
    }
    for death in DEATHS {
        until_more_are_paid(&paid).await;
        end(servers.last().unwrap().postgres_pid().unwrap(), death);
        servers.push(services().await);
    }
    let mut orders = Vec::new();
    let mut told = Told::new();
    while let Some(buyer) = buyers.join_next().await {
        let (bought, heard) = buyer.unwrap();
        orders.extend(bought);
        for (what, times) in heard {
            *told.entry(what).or_default() += times;
        }
    }
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
    let allowed = Allowed {
        emails_twice: DEATHS.len() as i64 * EMAILS_IN_HAND,
        ..Allowed::default()
    };
    let fulfilled = market.assert_adds_up(&mut town, allowed).await;
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

/// One who orders each of these, and asks again under the same key until it is paid.
async fn buy(target: Target, requests: Vec<Request>, paid: Arc<watch::Sender<usize>>) -> (Vec<Uuid>, Told) {
    let (mut orders, mut told) = (Vec::new(), Told::new());
    for request in &requests {
        let begun = Instant::now();
        loop {
            let (what, body) = match fetch(&target, request).await {
                Ok(answer) => {
                    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    let code = body["code"].as_str().map(|code| format!(" {code}"));
                    let mut what = format!("{}{}", answer.status.as_u16(), code.unwrap_or_default());
                    if answer.status == 503 && !answer.headers.contains_key("retry-after") {
                        what += " without retry-after";
                    }
                    (what, body)
                }
                // A client's patience, which a loaded machine may outlast: it asks again as after any other fault.
                Err(error) if error.is::<Elapsed>() => (UNANSWERED.to_owned(), Value::Null),
                Err(error) => (format!("{error:#}"), Value::Null),
            };
            let is_paid = what == "201";
            *told.entry(what).or_default() += 1;
            if is_paid {
                orders.push(body["id"].as_str().unwrap().parse().unwrap());
                paid.send_modify(|count| *count += 1);
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "a buyer is stuck: {told:?} {body}");
            // A client's pause; nothing depends on how long it is.
            tokio::time::sleep(PAUSE).await;
        }
    }
    (orders, told)
}

async fn until_more_are_paid(paid: &watch::Sender<usize>) {
    let mut counted = paid.subscribe();
    let wanted = *counted.borrow() + ORDERS_BETWEEN;
    let reached = tokio::time::timeout(PATIENCE, counted.wait_for(|count| *count >= wanted)).await;
    assert!(reached.is_ok(), "the shop sells nothing");
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
