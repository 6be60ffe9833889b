//! The customers, carts and shop of these tests. The payment gateway is the test's own.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::http::request::Builder;
use serde_json::{Value, json};
use shop::access_token::AccessTokens;
use uuid::Uuid;

use crate::support::database::{Content, Database};
use crate::support::gateway::Gateway;
use crate::support::response::TestResponse;
use crate::support::servers::servers;
use crate::support::shop::{Changes, SECRETS, TestShop};

/// A cart token, as the shop issues them: base64url of 32 bytes, here all equal.
pub const CART_TOKEN: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
/// Its SHA-256 hash, which the database stores.
const CART_TOKEN_HASH: &str = "sha256(decode(repeat('01', 32), 'hex'))";

/// An unreachable address: port 9 is `discard`.
const UNREACHABLE: &str = "http://127.0.0.1:9";

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

/// The owner of a cart.
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
    pub async fn start() -> Self {
        Self::with(Changes::default()).await
    }

    /// Starts a shop on a database of its own.
    pub async fn with(changes: Changes) -> Self {
        Self::on(Database::new(Content::Catalogue).await, changes).await
    }

    /// Starts a shop with its own payment gateway. Other third parties are unreachable unless `changes` sets
    /// them.
    pub async fn on(database: Database, changes: Changes) -> Self {
        let gateway = Gateway::start().await;
        let mut defaults = Changes::default()
            .set("--payment-url", &gateway.url)
            .set("--carrier-url", UNREACHABLE)
            .set("--smtp-url", "smtp://127.0.0.1:9")
            // A busy machine must not change how many statements an order takes.
            .set("--price-validity-ms", "60000");
        if let Some(amqp_url) = &servers().amqp_url {
            defaults = defaults.set("--amqp-url", amqp_url);
        }
        let changes = defaults.merge(changes);
        let shop = TestShop::on(Arc::new(database), changes).await;
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

    /// Inserts a cart with these quantities.
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

    /// The units of a SKU in orders that reserve or ship them.
    pub async fn sold(&self, sku: &str) -> i64 {
        self.database
            .number(&format!(
                "select coalesce(sum(quantity), 0) from order_lines join orders on orders.id = order_id
                 where sku = '{sku}' and status not in ('payment_failed', 'cancelled')"
            ))
            .await
    }

    pub async fn order_count(&self) -> i64 {
        self.database.number("select count(*) from orders").await
    }

    pub async fn place(&self, buyer: &Buyer, key: &str, body: &Value) -> TestResponse {
        let request = Request::post("/v1/orders").header("idempotency-key", key);
        self.send_json(buyer.identify(request), body).await
    }

    /// Orders a cart with a new key and the default body.
    pub async fn buy(&self, buyer: &Buyer, cart: Uuid) -> TestResponse {
        self.place(buyer, &Uuid::now_v7().to_string(), &order(cart)).await
    }
}

/// The default body of an order.
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

/// Asserts the status.
#[track_caller]
pub fn expect(response: TestResponse, status: u16) -> TestResponse {
    assert_eq!(response.status.as_u16(), status, "{}", response.text());
    response
}
