//! Carts that were made beforehand, in SQL, and the requests that order them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::costs::LAB_MARK;
use crate::load::Request;

/// More units than any run sells.
pub const PLENTY: i32 = 1_000_000;

/// Who buys. Every mail of the lab goes there.
pub const BUYER: &str = "buyer@lab.example";

/// What is bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goods {
    /// Variants; carts take them in turns.
    pub variants: Vec<Uuid>,
    /// Different variants in a cart.
    pub lines: usize,
}

/// Makes carts.
#[derive(Debug)]
pub struct Carts {
    goods: Goods,
    made: usize,
    /// Whether the first of the goods is in each cart, and the others take turns beside it.
    has_common: bool,
}

/// A guest's cart that is full and unpaid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cart {
    /// Its id.
    pub id: Uuid,
    /// What opens it.
    pub token: String,
}

impl Goods {
    /// The variants that sell best, so many of them, each with so many units.
    pub async fn choose(
        connection: &mut PgConnection,
        variants: usize,
        lines: usize,
        units: i32,
    ) -> Result<Goods> {
        let chosen: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(format!(
            "select v.id from (select id from products where active and currency = (select currency from products \
             where active group by currency order by count(*) desc limit 1) order by sales_count desc, id limit $1) p \
             cross join lateral (select id from variants where product_id = p.id order by id limit 1) v {LAB_MARK}"
        )))
        .bind(i64::try_from(variants)?)
        .fetch_all(&mut *connection)
        .await?;
        ensure!(
            chosen.len() >= lines.max(1),
            "the catalogue has too few products to fill carts with"
        );
        let goods = Goods {
            variants: chosen,
            lines,
        };
        goods.stock(connection, units).await?;
        Ok(goods)
    }

    /// Gives each so many units.
    pub async fn stock(&self, connection: &mut PgConnection, units: i32) -> Result<()> {
        sqlx::query(AssertSqlSafe(format!(
            "update variants set stock_quantity = $2 where id = any($1) {LAB_MARK}"
        )))
        .bind(&self.variants)
        .bind(units)
        .execute(connection)
        .await?;
        Ok(())
    }
}

impl Carts {
    /// Of these goods.
    pub fn of(goods: Goods) -> Carts {
        Carts {
            goods,
            made: 0,
            has_common: false,
        }
    }

    /// Of these goods, the first of which is in every cart.
    pub fn with_common(goods: Goods) -> Carts {
        Carts {
            has_common: true,
            ..Carts::of(goods)
        }
    }

    /// What they are filled with.
    pub fn goods(&self) -> &Goods {
        &self.goods
    }

    /// Makes so many, one unit of each line.
    pub async fn make(&mut self, connection: &mut PgConnection, count: usize) -> Result<Vec<Cart>> {
        let (mut ids, mut hashes) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut of_items, mut variants) = (Vec::new(), Vec::new());
        let mut carts = Vec::with_capacity(count);
        for _ in 0..count {
            let id = Uuid::now_v7();
            // Hard enough to guess for a shop that exists for a minute.
            let token = Sha256::digest(id.as_bytes());
            ids.push(id);
            hashes.push(Sha256::digest(token).to_vec());
            for line in 0..self.goods.lines {
                let turn = self.made * self.goods.lines + line;
                let variant = match (self.has_common, line) {
                    (true, 0) => 0,
                    (true, _) => 1 + turn % (self.goods.variants.len() - 1),
                    (false, _) => turn % self.goods.variants.len(),
                };
                of_items.push(id);
                variants.push(self.goods.variants[variant]);
            }
            self.made += 1;
            carts.push(Cart {
                id,
                token: URL_SAFE_NO_PAD.encode(token),
            });
        }
        sqlx::query(AssertSqlSafe(format!(
            "insert into carts (id, token_hash) select * from unnest($1::uuid[], $2::bytea[]) {LAB_MARK}"
        )))
        .bind(&ids)
        .bind(&hashes)
        .execute(&mut *connection)
        .await
        .context("cannot make carts")?;
        sqlx::query(AssertSqlSafe(format!(
            "insert into cart_items (cart_id, variant_id, quantity) select cart, variant, 1 \
             from unnest($1::uuid[], $2::uuid[]) as item (cart, variant) {LAB_MARK}"
        )))
        .bind(&of_items)
        .bind(&variants)
        .execute(connection)
        .await
        .context("cannot fill carts")?;
        Ok(carts)
    }

    /// The same as requests that order them.
    pub async fn orders(&mut self, connection: &mut PgConnection, count: usize) -> Result<Arc<[Request]>> {
        let carts = self.make(connection, count).await?;
        carts.iter().map(|cart| cart.order("tok_ok")).collect()
    }
}

impl Cart {
    /// The request that orders it. Its key is made of the cart's id, so that it can be sent again.
    pub fn order(&self, payment_token: &str) -> Result<Request> {
        let header = |name: &'static str, value: &str| -> Result<(HeaderName, HeaderValue)> {
            Ok((HeaderName::from_static(name), HeaderValue::try_from(value)?))
        };
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            header("x-cart-token", &self.token)?,
            header("idempotency-key", &format!("order-{}", self.id))?,
        ];
        let body = json!({
            "cart_id": self.id,
            "email": BUYER,
            "shipping_address": {
                "name": "Ada Lovelace", "line1": "1 Analytical Way", "city": "Bonn", "postal_code": "53111",
                "country": "DE",
            },
            "shipping_method": "standard",
            "payment_token": payment_token,
        });
        let mut request = Request::get("/v1/orders")?.with_headers(&Arc::from(headers));
        request.method = Method::POST;
        request.body = Bytes::from(body.to_string());
        Ok(request)
    }
}
