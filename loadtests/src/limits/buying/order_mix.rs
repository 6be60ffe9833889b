//! Whether what follows an order is done in time while the shop is busy.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::expect_right_books;
use crate::costs::LAB_MARK;
use crate::limits::LimitResult;
use crate::load::{Request, closed_loop, fetch, open_loop};
use crate::trials::{Carts, Goods, PLENTY, ThirdParties, Town, done_times};

const MOST_S: f64 = 5.0;

/// The share of what a closed loop reaches that is offered.
const LOAD: f64 = 0.7;

const CLIENTS: usize = 16;
const CONNECTIONS: usize = 64;
const PROBE: Duration = Duration::from_secs(3);
const RUN: Duration = Duration::from_secs(25);
const PATIENCE: Duration = Duration::from_secs(30);
const VARIANTS: usize = 256;

/// Requests that no closed loop of ours gets through in the probe.
const PROBED: usize = 6_000;

/// Who signs in: an account of the generated data.
const CUSTOMER: (&str, &str) = ("customer@example.com", "backstock-demo");

/// TPC-W's order mix, in parts of a thousand: home, new and best, detail, search, cart, register, buy request, buy,
/// history.
const MIX: [(Page, usize); 9] = [
    (Page::Home, 91),
    (Page::Best, 9),
    (Page::Detail, 124),
    (Page::Search, 276),
    (Page::Cart, 135),
    (Page::Register, 129),
    (Page::BuyRequest, 127),
    (Page::Buy, 102),
    (Page::History, 7),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Home,
    Best,
    Detail,
    Search,
    Cart,
    Register,
    BuyRequest,
    Buy,
    History,
}

/// Seconds from an order's request to its mail and label, while the mix runs at 70 % of what a closed loop reaches.
/// The last order stands for the 99th percentile where there are too few for one: it is the stricter of the two.
pub(super) async fn done_in_time(town: &mut Town) -> Result<LimitResult> {
    town.set_delays(&ThirdParties::USUAL).await?;
    town.start_worker("relay,consumers,upkeep").await?;
    let goods = Goods::choose(&mut town.monitor, VARIANTS, 2, PLENTY).await?;
    let mut mix = Mix::new(town, Carts::of(goods.clone())).await?;
    let target = town.shop().target();
    let probe = mix.requests(town, PROBED).await?;
    let capacity = closed_loop(&target, &probe, CLIENTS, PROBE, 1)
        .await?
        .throughput();
    let left = town.drain(PATIENCE).await?;
    ensure!(left == 0, "{left} orders of the probe were not done");

    let rate = capacity * LOAD;
    let requests = mix
        .requests(town, (rate * RUN.as_secs_f64() * 1.2) as usize + 1_000)
        .await?;
    let since = Uuid::now_v7();
    let outcome = open_loop(&target, &requests, rate, RUN, CONNECTIONS, 2).await?;
    let left = town.drain(PATIENCE).await?;
    let times = done_times(&mut town.monitor, since).await?;
    expect_right_books(town, &goods, PLENTY).await?;
    let slowest = times.p99_s().or(times.last_s()).context("no order was placed")?;
    let failed = outcome.errors.status_5xx + outcome.errors.timeout + outcome.errors.broken + outcome.dropped;
    let met = slowest <= MOST_S && left == 0 && times.undone == 0;
    let what = format!(
        "from an order to its mail and label, order mix at {:.0} % of {capacity:.0}/s, payment 120 / 400 ms, carrier 150 / \
         500, mail 30 / 150",
        LOAD * 100.0
    );
    let mut result = LimitResult::new("order_done", what, "at most 5 s at p99", slowest, "s", met);
    result.details = vec![
        ("orders".to_owned(), times.histogram.len() as f64),
        ("done_s_p50".to_owned(), times.quantile_s(0.5).unwrap_or_default()),
        ("done_s_last".to_owned(), times.last_s().unwrap_or_default()),
        ("offered_rps".to_owned(), rate),
        ("achieved_rps".to_owned(), outcome.throughput()),
        ("failed".to_owned(), failed as f64),
        ("p50_ms".to_owned(), outcome.p50_ms().unwrap_or_default()),
    ];
    Ok(result)
}

/// Makes requests of the mix. Each order, cart and registration is a new one.
struct Mix {
    carts: Carts,
    slugs: Vec<String>,
    words: Vec<String>,
    token: String,
    made: u64,
}

impl Mix {
    async fn new(town: &mut Town, carts: Carts) -> Result<Mix> {
        let list = async |sql: &str, monitor: &mut sqlx::PgConnection| -> Result<Vec<String>> {
            let sql = AssertSqlSafe(format!("{sql} {LAB_MARK}"));
            Ok(sqlx::query_scalar(sql).fetch_all(monitor).await?)
        };
        let slugs = "select slug from products where active order by sales_count desc, id limit 500";
        let words = "select distinct lower(split_part(title, ' ', 1)) from (select title from products where active \
                     order by id limit 500) t where title ~ '^[A-Za-z]{4,20} '";
        let (email, password) = CUSTOMER;
        let credentials = json!({ "email": email, "password": password });
        let sign_in = Request::with_json(Method::POST, "/v1/sessions", &credentials)?;
        let answer = fetch(&town.shop().target(), &sign_in).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let token = body["access_token"]
            .as_str()
            .context("the generated data has a customer who can sign in")?;
        Ok(Mix {
            carts,
            slugs: list(slugs, &mut town.monitor).await?,
            words: list(words, &mut town.monitor).await?,
            token: token.to_owned(),
            made: 0,
        })
    }

    async fn requests(&mut self, town: &mut Town, count: usize) -> Result<Arc<[Request]>> {
        let mut pages: Vec<Page> = MIX
            .iter()
            .flat_map(|(page, share)| std::iter::repeat_n(*page, (share * count).div_ceil(1_000)))
            .collect();
        pages.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
        let carts = |page: &&Page| matches!(page, Page::Cart | Page::BuyRequest | Page::Buy);
        let needed = pages.iter().filter(carts).count();
        let mut carts = self.carts.make(&mut town.monitor, needed).await?.into_iter();
        pages
            .into_iter()
            .map(|page| {
                self.made += 1;
                let turn = self.made as usize;
                Ok(match page {
                    Page::Home => Request::get("/v1/categories")?,
                    Page::Best => Request::get("/v1/products?sort=best_selling")?,
                    Page::Detail => {
                        Request::get(&format!("/v1/products/{}", self.slugs[turn % self.slugs.len()]))?
                    }
                    Page::Search => {
                        Request::get(&format!("/v1/products?q={}", self.words[turn % self.words.len()]))?
                    }
                    Page::Cart | Page::BuyRequest => {
                        let cart = carts.next().expect("as many were made as are needed");
                        let token = HeaderValue::try_from(cart.token.as_str())?;
                        Request::get(&format!("/v1/carts/{}", cart.id))?
                            .with_header(HeaderName::from_static("x-cart-token"), token)
                    }
                    Page::Register => {
                        let email = format!("{}@lab.example", Uuid::now_v7().simple());
                        let account =
                            json!({ "email": email, "password": "correct horse battery", "name": "Ada" });
                        Request::with_json(Method::POST, "/v1/accounts", &account)?
                    }
                    Page::Buy => carts
                        .next()
                        .expect("as many were made as are needed")
                        .order("tok_ok")?,
                    Page::History => {
                        let bearer = HeaderValue::try_from(format!("Bearer {}", self.token))?;
                        Request::get("/v1/orders")?.with_header(AUTHORIZATION, bearer)
                    }
                })
            })
            .collect()
    }
}
