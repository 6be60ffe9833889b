//! Carts: their content, access control and validation.

mod access;
mod bad_input;
mod contents;
mod coupons;
mod merge_at_sign_in;

use axum::http::Request;
use axum::http::request::Builder;
use serde_json::{Value, json};

use crate::support::people::Person;
use crate::support::response::TestResponse;
use crate::support::shop::TestShop;

/// A cart, and the header that gives access to it.
pub struct Cart<'s> {
    pub shop: &'s TestShop,
    pub id: String,
    pub credential: (&'static str, String),
}

impl<'s> Cart<'s> {
    pub async fn for_guest(shop: &'s TestShop) -> Self {
        let made = shop.send(Request::post("/v1/carts")).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let cart = made.json();
        let text = |field: &str| cart[field].as_str().unwrap().to_owned();
        Self {
            shop,
            id: text("id"),
            credential: ("x-cart-token", text("token")),
        }
    }

    pub async fn for_customer(shop: &'s TestShop, customer: &Person) -> Self {
        let made = shop.send(customer.authorize(Request::post("/v1/carts"))).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let cart = made.json();
        assert!(cart.get("token").is_none(), "a customer needs no cart token");
        let headers = customer.authorize(Request::get("/"));
        let bearer = headers.headers_ref().unwrap()["authorization"].to_str().unwrap();
        Self {
            shop,
            id: cart["id"].as_str().unwrap().to_owned(),
            credential: ("authorization", bearer.to_owned()),
        }
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/v1/carts/{}{rest}", self.id)
    }

    pub fn authorize(&self, request: Builder) -> Builder {
        request.header(self.credential.0, &self.credential.1)
    }

    pub async fn show(&self) -> TestResponse {
        self.shop.send(self.authorize(Request::get(self.path("")))).await
    }

    pub async fn put(&self, sku: &str, quantity: impl Into<Value>) -> TestResponse {
        let request = Request::put(self.path(&format!("/items/{sku}")));
        let body = json!({ "quantity": quantity.into() });
        self.shop.send_json(self.authorize(request), &body).await
    }

    pub async fn put_coupon(&self, code: &str) -> TestResponse {
        let request = Request::put(self.path("/coupon"));
        self.shop
            .send_json(self.authorize(request), &json!({ "code": code }))
            .await
    }

    pub async fn delete_coupon(&self) -> TestResponse {
        self.shop
            .send(self.authorize(Request::delete(self.path("/coupon"))))
            .await
    }

    /// Inserts an order of this cart, with the columns that matter for carts.
    pub async fn mark_ordered(&self) {
        self.shop
            .database
            .execute(&format!(
                "insert into orders (id, cart_id, reserved_until, subtotal_cents, shipping_cents, total_cents, currency,
                                     status, shipping_method, email, shipping_address)
                 values (gen_random_uuid(), '{}', now(), 0, 0, 0, 'EUR', 'paid', 'standard', 'a@example.com', '{{}}')",
                self.id
            ))
            .await;
    }
}

pub fn eur(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}
