//! Api and worker are replaced while people shop, several times over, and nobody notices: no connection is refused or
//! reset, no answer is missing or wrong, no order is lost or done twice.
//!
//! The customers' socket belongs to this test, as it belongs to systemd in `deploy/systemd/`: each api is handed the same
//! one, so that there is always somebody behind it. The next one is ready before the last one is asked to go.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use child_process::ChildProcess;
use loadtests::load::{Request, Target, Visitor, fetch};
use loadtests::shop::ShopSettings;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::aftermath::{Allowed, Market};
use super::buyers::Told;
use super::ground::{ALL_PARTS, town};
use super::town_support::services;

/// How often both are replaced.
const TIMES: usize = 4;

/// Who buys meanwhile, each over a connection that is kept as long as the shop keeps it.
const SHOPPERS: usize = 6;

/// Who looks at the shop's first page meanwhile, and asks again as soon as it is there: their connections are idle for a
/// moment after each answer, which is when a server that closes them breaks a request.
const PASSERS_BY: usize = 24;

/// Orders that are paid between two replacements, at the least.
const ORDERS_BETWEEN: usize = 20;

/// More carts than are bought.
const CARTS: usize = 5_000;

/// Much longer than a shopper pauses between two requests, also on a busy machine.
const CLOSING_NOTICE_MS: &str = "1500";

/// Far above what anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_and_worker_are_replaced_under_load_and_nobody_notices() {
    let services = services().await;
    let mut town = town(&services, 38, "optimized").await;
    // The town's own api has a socket of its own.
    town.shop = None;
    let mut market = Market::open(&mut town).await;
    town.start_worker(ALL_PARTS).await.unwrap();
    town.since = Uuid::now_v7();
    let stand = Stand::new(town.api.clone());
    let mut api = stand.start_api().await;
    let orders = market.carts.orders(&mut town.monitor, CARTS).await.unwrap();

    let shoppers = Shoppers::send(stand.target(), &orders);
    for _ in 0..TIMES {
        shoppers.until_more_have_paid(ORDERS_BETWEEN).await;
        let next = stand.start_api().await;
        std::mem::replace(&mut api, next).stop(PATIENCE).await.unwrap();

        shoppers.until_more_have_paid(ORDERS_BETWEEN).await;
        let last = town.worker.take().unwrap();
        town.start_worker(ALL_PARTS).await.unwrap();
        last.stop().await.unwrap();
    }
    shoppers.until_more_have_paid(ORDERS_BETWEEN).await;
    let (bought, told) = shoppers.go_home().await;

    let answers = told.values().sum::<usize>();
    let good = told.get("200").unwrap_or(&0) + told.get("201").unwrap_or(&0);
    assert_eq!(answers, good, "no request failed: {told:?}");
    let fulfilled = market.assert_adds_up(&mut town, Allowed::default()).await;
    assert_eq!(fulfilled, bought.len() as i64, "{told:?}");
    let known: i64 = sqlx::query_scalar(AssertSqlSafe(
        "select count(*) from orders where id = any($1) and status = 'fulfilled'".to_owned(),
    ))
    .bind(&bought)
    .fetch_one(&mut town.monitor)
    .await
    .unwrap();
    assert_eq!(
        known, fulfilled,
        "every order that somebody was told of is there, once"
    );
    api.stop(PATIENCE).await.unwrap();
    town.stop().await.unwrap();
}

/// A socket that is there before the first api and after the last.
struct Stand {
    socket: TcpListener,
    settings: ShopSettings,
    started: AtomicUsize,
}

impl Stand {
    fn new(settings: ShopSettings) -> Self {
        Self {
            socket: TcpListener::bind("127.0.0.1:0").unwrap(),
            settings,
            started: AtomicUsize::new(0),
        }
    }

    fn target(&self) -> Target {
        Target::new(self.socket.local_addr().unwrap())
    }

    /// Hands the socket to one more api, by systemd's protocol, and waits until it is ready.
    async fn start_api(&self) -> ChildProcess {
        let internal = free_address();
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.settings.log_path.with_extension(format!("{number}.log"));
        // The protocol wants descriptor 3. The shell becomes the api, so it knows the process id that the protocol wants.
        let hand_over = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve";
        let mut command = child_process::command(Path::new("/bin/sh"));
        command
            .args(["-c", hand_over])
            .arg(&self.settings.api_binary)
            .env_clear()
            .envs(self.settings.extra_env.iter().cloned())
            .env("BACKSTOCK_INTERNAL_LISTEN", internal.to_string())
            .env("BACKSTOCK_VARIANTS", &self.settings.variants)
            .env("BACKSTOCK_DATABASE_URL", &self.settings.database_url)
            .env("BACKSTOCK_REDIS_URL", &self.settings.redis_url)
            .env(
                "BACKSTOCK_JWT_SECRETS",
                "test:this-secret-protects-nothing-but-a-test",
            )
            .env("BACKSTOCK_CLOSING_NOTICE_MS", CLOSING_NOTICE_MS)
            // A busy machine opens connections to Postgres slowly. Who waits for one is not what this is about.
            .env("BACKSTOCK_DATABASE_ACQUIRE_TIMEOUT_MS", "10000")
            .stdin(OwnedFd::from(self.socket.try_clone().unwrap()));
        let api = ChildProcess::start("the api", command, &log).unwrap();
        let (operators, ready) = (Target::new(internal), Request::get("/readyz").unwrap());
        let is_ready =
            || async { matches!(fetch(&operators, &ready).await, Ok(answer) if answer.status == 200) };
        api.wait_until_ready(PATIENCE, is_ready).await.unwrap();
        api
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Those who look around and buy, until they are sent home.
struct Shoppers {
    shopping: JoinSet<(Vec<Uuid>, Told)>,
    paid: Arc<watch::Sender<usize>>,
    is_closing_time: Arc<watch::Sender<bool>>,
}

impl Shoppers {
    fn send(target: Target, orders: &[Request]) -> Self {
        let (paid, is_closing_time) = (
            Arc::new(watch::Sender::new(0)),
            Arc::new(watch::Sender::new(false)),
        );
        let mut shopping = JoinSet::new();
        for _ in 0..PASSERS_BY {
            shopping.spawn(pass_by(Visitor::to(&target), is_closing_time.subscribe()));
        }
        for share in orders.chunks(orders.len().div_ceil(SHOPPERS)) {
            shopping.spawn(shop(
                Visitor::to(&target),
                share.to_vec(),
                Arc::clone(&paid),
                is_closing_time.subscribe(),
            ));
        }
        Self {
            shopping,
            paid,
            is_closing_time,
        }
    }

    async fn until_more_have_paid(&self, more: usize) {
        let mut counted = self.paid.subscribe();
        let wanted = *counted.borrow() + more;
        let reached = tokio::time::timeout(PATIENCE, counted.wait_for(|count| *count >= wanted)).await;
        assert!(reached.is_ok(), "the shop sells nothing");
    }

    /// What they have bought, and all that they were told.
    async fn go_home(mut self) -> (Vec<Uuid>, Told) {
        self.is_closing_time.send_replace(true);
        let (mut bought, mut told) = (Vec::new(), BTreeMap::new());
        while let Some(shopper) = self.shopping.join_next().await {
            let (orders, heard) = shopper.unwrap();
            bought.extend(orders);
            for (what, times) in heard {
                *told.entry(what).or_default() += times;
            }
        }
        (bought, told)
    }
}

/// One who looks at the first page, over and over.
async fn pass_by(mut visitor: Visitor, is_closing_time: watch::Receiver<bool>) -> (Vec<Uuid>, Told) {
    let page = Request::get("/").unwrap();
    let mut told = Told::new();
    while !*is_closing_time.borrow() {
        let what = match visitor.fetch(&page).await {
            Ok(answer) => answer.status.as_u16().to_string(),
            Err(error) => format!("{error:#}"),
        };
        *told.entry(what).or_default() += 1;
    }
    (Vec::new(), told)
}

/// One who looks at the goods and buys some, over and over. Asks nothing twice, whatever the answer.
async fn shop(
    mut visitor: Visitor,
    orders: Vec<Request>,
    paid: Arc<watch::Sender<usize>>,
    is_closing_time: watch::Receiver<bool>,
) -> (Vec<Uuid>, Told) {
    let list = Request::get("/v1/products?sort=best_selling").unwrap();
    let (mut bought, mut told) = (Vec::new(), Told::new());
    for order in orders {
        if *is_closing_time.borrow() {
            return (bought, told);
        }
        for request in [&list, &order] {
            let what = match visitor.fetch(request).await {
                Ok(answer) => {
                    if answer.status == 201 {
                        let body: Value = serde_json::from_slice(&answer.body).unwrap();
                        bought.push(body["id"].as_str().unwrap().parse().unwrap());
                        paid.send_modify(|count| *count += 1);
                    }
                    answer.status.as_u16().to_string()
                }
                Err(error) => format!("{error:#}"),
            };
            *told.entry(what).or_default() += 1;
        }
    }
    panic!("a shopper had too few carts");
}
