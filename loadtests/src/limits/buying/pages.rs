//! What visitors of a shop ask for, in shares: pages, carts, accounts, and orders. Each order, cart and registration is a
//! new one.

use std::sync::Arc;

use anyhow::{Context, Result};
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::costs::LAB_MARK;
use crate::load::{Outcome, Request, fetch};
use crate::trials::{Cart, Carts, Town};

/// Who signs in: an account of the generated data.
const CUSTOMER: (&str, &str) = ("customer@example.com", "backstock-demo");

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    // Requests of class 0 have no class.
    Home = 1,
    Best,
    Category,
    /// A hundred products with all that belongs to them.
    Detailed,
    Detail,
    Search,
    Facets,
    Suggestions,
    Cart,
    CartWrite,
    Register,
    SignIn,
    BuyRequest,
    Buy,
    History,
}

const ALL: [Page; 15] = [
    Page::Home,
    Page::Best,
    Page::Category,
    Page::Detailed,
    Page::Detail,
    Page::Search,
    Page::Facets,
    Page::Suggestions,
    Page::Cart,
    Page::CartWrite,
    Page::Register,
    Page::SignIn,
    Page::BuyRequest,
    Page::Buy,
    Page::History,
];

/// Visitors who don't buy, in parts of a thousand.
pub(super) const VISITORS: [(Page, usize); 11] = [
    (Page::Home, 80),
    (Page::Best, 100),
    (Page::Category, 130),
    (Page::Detail, 220),
    (Page::Search, 130),
    (Page::Facets, 60),
    (Page::Suggestions, 60),
    (Page::Cart, 110),
    (Page::CartWrite, 70),
    // Each takes some 20 ms of a core, which is what a password's hash is for.
    (Page::SignIn, 20),
    (Page::History, 20),
];

/// Makes requests of the pages.
pub(super) struct Pages {
    carts: Carts,
    slugs: Vec<String>,
    categories: Vec<String>,
    skus: Vec<String>,
    words: Vec<String>,
    token: String,
    made: u64,
}

impl Pages {
    pub(super) async fn new(town: &mut Town, carts: Carts) -> Result<Pages> {
        let list = async |sql: &str, monitor: &mut sqlx::PgConnection| -> Result<Vec<String>> {
            let sql = AssertSqlSafe(format!("{sql} {LAB_MARK}"));
            Ok(sqlx::query_scalar(sql).fetch_all(monitor).await?)
        };
        let slugs = "select slug from products where active order by sales_count desc, id limit 500";
        let categories = "select slug from categories order by slug limit 200";
        let skus = "select v.sku from variants v join products p on p.id = v.product_id \
                    where p.active and v.stock_quantity > 0 order by v.id limit 500";
        let words = "select distinct lower(split_part(title, ' ', 1)) from (select title from products where active \
                     order by id limit 500) t where title ~ '^[A-Za-z]{4,20} '";
        let answer = fetch(&town.shop().target(), &sign_in()?).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let token = body["access_token"]
            .as_str()
            .context("the generated data has a customer who can sign in")?;
        Ok(Pages {
            carts,
            slugs: list(slugs, &mut town.monitor).await?,
            categories: list(categories, &mut town.monitor).await?,
            skus: list(skus, &mut town.monitor).await?,
            words: list(words, &mut town.monitor).await?,
            token: token.to_owned(),
            made: 0,
        })
    }

    /// So many, in these parts of a thousand, shuffled.
    pub(super) async fn requests(
        &mut self,
        town: &mut Town,
        shares: &[(Page, usize)],
        count: usize,
    ) -> Result<Arc<[Request]>> {
        let mut pages: Vec<Page> = shares
            .iter()
            .flat_map(|(page, share)| std::iter::repeat_n(*page, (share * count).div_ceil(1_000)))
            .collect();
        pages.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
        let needed = pages.iter().filter(|page| page.needs_cart()).count();
        let mut carts = self.carts.make(&mut town.monitor, needed).await?.into_iter();
        pages
            .into_iter()
            .map(|page| {
                let cart = if page.needs_cart() { carts.next() } else { None };
                self.made += 1;
                Ok(self.request(page, cart)?.with_class(page as u16))
            })
            .collect()
    }

    fn request(&self, page: Page, cart: Option<Cart>) -> Result<Request> {
        let turn = self.made as usize;
        let turn_of = |all: &[String]| all[turn % all.len()].clone();
        let cart = || cart.context("a cart is made for each page that needs one");
        Ok(match page {
            Page::Home => Request::get("/v1/categories")?,
            Page::Best => Request::get("/v1/products?sort=best_selling")?,
            Page::Category => Request::get(&format!("/v1/products?category={}", turn_of(&self.categories)))?,
            Page::Detailed => {
                let category = turn_of(&self.categories);
                Request::get(&format!(
                    "/v1/products?category={category}&limit=100&include=variants,images"
                ))?
            }
            Page::Detail => Request::get(&format!("/v1/products/{}", turn_of(&self.slugs)))?,
            Page::Search => Request::get(&format!("/v1/products?q={}", turn_of(&self.words)))?,
            Page::Facets => Request::get(&format!(
                "/v1/products/facets?category={}",
                turn_of(&self.categories)
            ))?,
            Page::Suggestions => {
                let word = turn_of(&self.words);
                Request::get(&format!(
                    "/v1/search/suggestions?q={}",
                    &word[..word.len().min(4)]
                ))?
            }
            Page::Cart | Page::BuyRequest => {
                let cart = cart()?;
                Request::get(&format!("/v1/carts/{}", cart.id))?
                    .with_header(HeaderName::from_static("x-cart-token"), token_of(&cart)?)
            }
            Page::CartWrite => {
                let cart = cart()?;
                let path = format!("/v1/carts/{}/items/{}", cart.id, turn_of(&self.skus));
                Request::with_json(Method::PUT, &path, &json!({ "quantity": 1 }))?
                    .with_header(HeaderName::from_static("x-cart-token"), token_of(&cart)?)
            }
            Page::Register => {
                let email = format!("{}@lab.example", Uuid::now_v7().simple());
                let account = json!({ "email": email, "password": "correct horse battery", "name": "Ada" });
                Request::with_json(Method::POST, "/v1/accounts", &account)?
            }
            Page::SignIn => sign_in()?,
            Page::Buy => cart()?.order("tok_ok")?,
            Page::History => {
                let bearer = HeaderValue::try_from(format!("Bearer {}", self.token))?;
                Request::get("/v1/orders")?.with_header(AUTHORIZATION, bearer)
            }
        })
    }
}

/// Why requests were not answered well, by name: those that got no answer, and by page and status those that got one.
/// Only of what there was; orders, which are of no class, are `order`.
pub(super) fn failures(outcome: &Outcome) -> Vec<(String, u64)> {
    let errors = &outcome.errors;
    let without_answer = [
        ("dropped", outcome.dropped),
        ("not_connected", errors.connect),
        ("timed_out", errors.timeout),
        ("broken", errors.broken),
    ];
    let by_status = errors.statuses.iter().map(|((class, status), count)| {
        let page = ALL.into_iter().find(|page| *page as u16 == *class);
        let name = page.map_or_else(|| "order".to_owned(), Page::name);
        (format!("{name}_{status}"), *count)
    });
    let without_answer = without_answer.into_iter().filter(|(_, count)| *count > 0);
    without_answer
        .map(|(name, count)| (name.to_owned(), count))
        .chain(by_status)
        .collect()
}

/// The p99 of each page in milliseconds, by name.
pub(super) fn p99_by_page(outcome: &Outcome) -> Vec<(String, f64)> {
    let of_page = |page: Page| {
        let times = outcome.by_class.get(&(page as u16))?;
        Some((
            format!("{}_p99_ms", page.name()),
            times.value_at_quantile(0.99) as f64 / 1e6,
        ))
    };
    ALL.into_iter().filter_map(of_page).collect()
}

impl Page {
    /// As its name, with `_` between words.
    fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    fn needs_cart(self) -> bool {
        matches!(self, Page::Cart | Page::CartWrite | Page::BuyRequest | Page::Buy)
    }
}

fn token_of(cart: &Cart) -> Result<HeaderValue> {
    Ok(HeaderValue::try_from(cart.token.as_str())?)
}

fn sign_in() -> Result<Request> {
    let (email, password) = CUSTOMER;
    Request::with_json(
        Method::POST,
        "/v1/sessions",
        &json!({ "email": email, "password": password }),
    )
}
