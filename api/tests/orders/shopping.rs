//! Who buys in these tests: customers with tokens, carts with things in them, and a shop whose gateway is the test's.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::http::request::Builder;
use serde_json::{Value, json};
use storefront::access_token::AccessTokens;
use storefront::variants::Variants;
use uuid::Uuid;

use crate::support::answer::Answer;
use crate::support::database::{Content, Database};
use crate::support::gateway::Gateway;
use crate::support::servers::servers;
use crate::support::shop::{Changes, SECRETS, TestShop};

/// A token as the shop gives them out: base64url of 32 bytes, here all the same.
pub const CART_TOKEN: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
/// Its SHA-256, as the database keeps it.
const CART_TOKEN_HASH: &str = "sha256(decode(repeat('01', 32), 'hex'))";

/// Where nobody listens: the port for `discard`.
const NOBODY: &str = "http://127.0.0.1:9";

pub struct Shop {
    pub shop: TestShop,
    pub gateway: Gateway,
}

impl std::ops::Deref for Shop {
    type Target = TestShop;

    fn deref(&self) -> &TestShop {
        &self.shop
    }
}

/// What a cart is opened with.
#[derive(Debug, Clone)]
pub enum Buyer {
    Guest,
    Customer { id: Uuid, token: String },
}

impl Buyer {
    pub fn identify(&self, request: Builder) -> Builder {
        match self {
            Buyer::Guest => request.header("x-cart-token", CART_TOKEN),
            Buyer::Customer { token, .. } => request.header("authorization", format!("Bearer {token}")),
        }
    }
}

impl Shop {
    pub async fn start(variants: &str) -> Self {
        Self::with(variants.parse().unwrap(), Changes::default()).await
    }

    /// With a gateway of the test's, and nobody else to work with, where the changes don't say otherwise.
    pub async fn with(variants: Variants, changes: Changes) -> Self {
        let gateway = Gateway::start().await;
        let database = Arc::new(Database::new(Content::Catalogue, variants.indexes).await);
        let mut usual = Changes::default()
            .set("--payment-url", &gateway.url)
            .set("--carrier-url", NOBODY)
            .set("--smtp-url", "smtp://127.0.0.1:9");
        if let Some(amqp_url) = &servers().amqp_url {
            usual = usual.set("--amqp-url", amqp_url);
        }
        let changes = usual.and(changes);
        let shop = TestShop::on(database, variants, changes).await;
        Self { shop, gateway }
    }

    pub async fn customer(&self) -> Buyer {
        let id = Uuid::now_v7();
        self.database
            .execute(&format!(
                "insert into customers (id, email, name, password_hash)
                 values ('{id}', '{}@example.com', 'Ada', 'none')",
                id.simple()
            ))
            .await;
        let tokens = AccessTokens::new(&SECRETS.parse().unwrap());
        let token = tokens.sign(id, Uuid::now_v7(), "customer", Duration::from_secs(600));
        Buyer::Customer { id, token }
    }

    /// A cart of so many of each SKU.
    pub async fn cart(&self, buyer: &Buyer, items: &[(&str, u32)]) -> Uuid {
        let id = Uuid::now_v7();
        let owner = match buyer {
            Buyer::Guest => format!("{CART_TOKEN_HASH}, null"),
            Buyer::Customer { id, .. } => format!("null, '{id}'"),
        };
        let mut sql = format!("insert into carts (id, token_hash, customer_id) values ('{id}', {owner});");
        for (sku, quantity) in items {
            sql += &format!(
                "insert into cart_items (cart_id, variant_id, quantity)
                 select '{id}', id, {quantity} from variants where sku = '{sku}';"
            );
        }
        self.database.execute(&sql).await;
        id
    }

    pub async fn set_stock(&self, sku: &str, units: u32) {
        self.database
            .execute(&format!(
                "update variants set stock_quantity = {units} where sku = '{sku}'"
            ))
            .await;
    }

    pub async fn stock(&self, sku: &str) -> i64 {
        self.database
            .number(&format!(
                "select stock_quantity from variants where sku = '{sku}'"
            ))
            .await
    }

    /// Units of a SKU in orders that hold them.
    pub async fn sold(&self, sku: &str) -> i64 {
        self.database
            .number(&format!(
                "select coalesce(sum(quantity), 0) from order_lines join orders on orders.id = order_id
                 where sku = '{sku}' and status not in ('payment_failed', 'cancelled')"
            ))
            .await
    }

    pub async fn orders(&self) -> i64 {
        self.database.number("select count(*) from orders").await
    }

    pub async fn place(&self, buyer: &Buyer, key: &str, body: &Value) -> Answer {
        let request = Request::post("/v1/orders").header("idempotency-key", key);
        self.send_json(buyer.identify(request), body).await
    }

    /// Orders a cart in the usual way.
    pub async fn buy(&self, buyer: &Buyer, cart: Uuid) -> Answer {
        self.place(buyer, &Uuid::now_v7().to_string(), &order(cart)).await
    }
}

/// The body that orders a cart.
pub fn order(cart: Uuid) -> Value {
    json!({
        "cart_id": cart,
        "email": "ada@example.com",
        "shipping_address": {
            "name": "Ada Lovelace", "line1": "1 Harbour Street", "city": "Bergen", "postal_code": "5003", "country": "NO",
        },
        "shipping_method": "standard",
        "payment_token": "tok_ok",
    })
}

pub fn with(mut body: Value, field: &str, value: impl Into<Value>) -> Value {
    body[field] = value.into();
    body
}

/// The answer, if it has the status.
#[track_caller]
pub fn expect(answer: Answer, status: u16) -> Answer {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    answer
}
