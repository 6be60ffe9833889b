//! Carts: what they show, who may open them, and what they refuse.

mod at_sign_in;
mod bad_input;
mod coupons;
mod filling;
mod opening;

use axum::http::Request;
use axum::http::request::Builder;
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::people::Person;
use crate::support::shop::TestShop;

/// A cart, and what opens it.
pub struct Cart<'s> {
    pub shop: &'s TestShop,
    pub id: String,
    pub opened_by: (&'static str, String),
}

impl<'s> Cart<'s> {
    pub async fn of_guest(shop: &'s TestShop) -> Self {
        let made = shop.send(Request::post("/v1/carts")).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let cart = made.json();
        let text = |field: &str| cart[field].as_str().unwrap().to_owned();
        Self {
            shop,
            id: text("id"),
            opened_by: ("x-cart-token", text("token")),
        }
    }

    pub async fn of(shop: &'s TestShop, customer: &Person) -> Self {
        let made = shop.send(customer.asks(Request::post("/v1/carts"))).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let cart = made.json();
        assert!(cart.get("token").is_none(), "a customer needs none");
        let headers = customer.asks(Request::get("/"));
        let bearer = headers.headers_ref().unwrap()["authorization"].to_str().unwrap();
        Self {
            shop,
            id: cart["id"].as_str().unwrap().to_owned(),
            opened_by: ("authorization", bearer.to_owned()),
        }
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/v1/carts/{}{rest}", self.id)
    }

    pub fn open(&self, request: Builder) -> Builder {
        request.header(self.opened_by.0, &self.opened_by.1)
    }

    pub async fn show(&self) -> Answer {
        self.shop.send(self.open(Request::get(self.path("")))).await
    }

    pub async fn put(&self, sku: &str, quantity: impl Into<Value>) -> Answer {
        let request = Request::put(self.path(&format!("/items/{sku}")));
        let body = json!({ "quantity": quantity.into() });
        self.shop.send_json(self.open(request), &body).await
    }

    pub async fn put_coupon(&self, code: &str) -> Answer {
        let request = Request::put(self.path("/coupon"));
        self.shop
            .send_json(self.open(request), &json!({ "code": code }))
            .await
    }

    pub async fn delete_coupon(&self) -> Answer {
        self.shop
            .send(self.open(Request::delete(self.path("/coupon"))))
            .await
    }

    /// Places an order of it, as far as carts can tell.
    pub async fn order(&self) {
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
