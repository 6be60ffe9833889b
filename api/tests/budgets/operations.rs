//! The statement budget of all operations outside the public catalogue: accounts, orders and administration,
//! in the normal case and for late rejections. The statements are counted during a whole purchase.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Request;
use axum::http::request::Builder;
use serde_json::{Value, json};
use uuid::Uuid;

use super::assert_recorded;
use crate::accounts::people::{PASSWORD, Person, address, sign_in};
use crate::orders::carrier_webhook::signature;
use crate::orders::shop::{Shop, order, with};
use crate::support::gateway::FaultMode;
use crate::support::response::TestResponse;
use crate::support::shop::Changes;
use crate::support::simulators::{CARRIER_SECRET, Simulators};

/// A shop, and the number of statements of each operation.
struct Counter {
    shop: Shop,
    statements: BTreeMap<String, u64>,
}

impl Counter {
    /// Sends a request and counts its statements. `operation` is the method and path in the document, with an
    /// optional case after a comma.
    async fn count(
        &mut self,
        operation: &str,
        status: u16,
        request: Builder,
        body: Option<&Value>,
    ) -> TestResponse {
        let response = match body {
            Some(body) => self.shop.send_json(request, body).await,
            None => self.shop.send(request).await,
        };
        assert_eq!(response.status, status, "{operation}: {}", response.text());
        let previous = self
            .statements
            .insert(operation.to_owned(), response.statements());
        assert_eq!(previous, None, "{operation} is counted twice");
        response
    }
}

fn method_and_path(operation: &str) -> &str {
    operation.split(',').next().unwrap()
}

pub async fn count_purchase(simulators: &Simulators) -> BTreeMap<String, u64> {
    let changes = Changes::default()
        .set("--carrier-url", &simulators.carrier)
        .set("--carrier-secret", CARRIER_SECRET)
        .set("--smtp-url", &simulators.smtp)
        .set("--payment-timeout-ms", 500);
    let shop = Shop::with(changes).await;
    shop.database
        .execute(
            "insert into coupons (code, percent, valid_until) values ('TEN', 10, now() + interval '1 day');
             update variants set stock_quantity = 10 where sku in ('SKU-1-0', 'SKU-1-1')",
        )
        .await;
    let mut counter = Counter {
        shop,
        statements: BTreeMap::new(),
    };
    let ada = use_account(&mut counter).await;
    use_profile_and_addresses(&mut counter, &ada).await;
    let cart = fill_cart(&mut counter, &ada).await;
    let paid = buy(&mut counter, &ada, cart).await;
    fail_and_cancel_orders(&mut counter, &ada).await;
    deliver(&mut counter, &paid).await;
    review(&mut counter, &ada).await;
    administer(&mut counter).await;
    let sign_out = ada.authorize(Request::delete("/v1/sessions/current"));
    counter
        .count("DELETE /v1/sessions/current", 204, sign_out, None)
        .await;
    assert_all_are_counted(&counter).await;
    counter.statements
}

async fn use_account(counter: &mut Counter) -> Person {
    let email = "ada@example.com";
    let registration = json!({ "email": email, "password": PASSWORD, "name": "Ada" });
    let post = || Request::post("/v1/accounts");
    counter
        .count("POST /v1/accounts", 201, post(), Some(&registration))
        .await;
    counter
        .count("POST /v1/accounts, taken", 409, post(), Some(&registration))
        .await;
    let mut credentials = json!({ "email": email, "password": PASSWORD });
    let post = || Request::post("/v1/sessions");
    counter
        .count("POST /v1/sessions", 201, post(), Some(&credentials))
        .await;
    credentials["password"] = "wrong horse".into();
    counter
        .count(
            "POST /v1/sessions, wrong password",
            401,
            post(),
            Some(&credentials),
        )
        .await;
    credentials["password"] = PASSWORD.into();
    let guest = counter
        .count("POST /v1/carts, guest", 201, Request::post("/v1/carts"), None)
        .await
        .json();
    let post = post().header("x-cart-token", guest["token"].as_str().unwrap());
    let signed_in = counter
        .count(
            "POST /v1/sessions, with a guest's cart",
            201,
            post,
            Some(&credentials),
        )
        .await;
    let refresh = json!({ "refresh_token": Person::signed_in(email, &signed_in).refresh_token });
    let refreshed = counter
        .count(
            "POST /v1/sessions/refresh",
            201,
            Request::post("/v1/sessions/refresh"),
            Some(&refresh),
        )
        .await;
    Person::signed_in(email, &refreshed)
}

async fn use_profile_and_addresses(counter: &mut Counter, ada: &Person) {
    let me = || ada.authorize(Request::get("/v1/me"));
    counter.count("GET /v1/me", 200, me(), None).await;
    let patch = ada.authorize(Request::patch("/v1/me"));
    let name = json!({ "name": "Ada Lovelace" });
    counter.count("PATCH /v1/me", 200, patch, Some(&name)).await;
    let post = ada.authorize(Request::post("/v1/me/addresses"));
    let home = counter
        .count("POST /v1/me/addresses", 201, post, Some(&address("Bergen")))
        .await
        .json();
    let path = format!("/v1/me/addresses/{}", home["id"].as_str().unwrap());
    let put = ada.authorize(Request::put(&path));
    counter
        .count("PUT /v1/me/addresses/{id}", 200, put, Some(&address("Oslo")))
        .await;
    let list = ada.authorize(Request::get("/v1/me/addresses"));
    counter.count("GET /v1/me/addresses", 200, list, None).await;
    let delete = ada.authorize(Request::delete(&path));
    counter
        .count("DELETE /v1/me/addresses/{id}", 204, delete, None)
        .await;
}

/// Creates another cart with two SKUs.
async fn another_cart(counter: &Counter, ada: &Person) -> Uuid {
    let made = counter.shop.send(ada.authorize(Request::post("/v1/carts"))).await;
    let id: Uuid = made.json()["id"].as_str().unwrap().parse().unwrap();
    for sku in ["SKU-1-0", "SKU-1-1"] {
        let put = ada.authorize(Request::put(format!("/v1/carts/{id}/items/{sku}")));
        let quantity = json!({ "quantity": 1 });
        counter.shop.send_json(put, &quantity).await.ok();
    }
    id
}

async fn fill_cart(counter: &mut Counter, ada: &Person) -> Uuid {
    let post = ada.authorize(Request::post("/v1/carts"));
    let cart = counter.count("POST /v1/carts", 201, post, None).await.json();
    let cart: Uuid = cart["id"].as_str().unwrap().parse().unwrap();
    let quantity = json!({ "quantity": 1 });
    let put = |sku: &str| ada.authorize(Request::put(format!("/v1/carts/{cart}/items/{sku}")));
    for (operation, sku) in [
        ("PUT /v1/carts/{id}/items/{sku}", "SKU-1-0"),
        ("PUT /v1/carts/{id}/items/{sku}, a second SKU", "SKU-1-1"),
    ] {
        counter.count(operation, 200, put(sku), Some(&quantity)).await;
    }
    let coupon = format!("/v1/carts/{cart}/coupon");
    let ten = json!({ "code": "TEN" });
    let put = || ada.authorize(Request::put(&coupon));
    counter
        .count("PUT /v1/carts/{id}/coupon", 200, put(), Some(&ten))
        .await;
    let delete = ada.authorize(Request::delete(&coupon));
    counter
        .count("DELETE /v1/carts/{id}/coupon", 200, delete, None)
        .await;
    let show = ada.authorize(Request::get(format!("/v1/carts/{cart}")));
    counter.count("GET /v1/carts/{id}", 200, show, None).await;
    counter.shop.send_json(put(), &ten).await.ok();
    cart
}

async fn buy(counter: &mut Counter, ada: &Person, cart: Uuid) -> Value {
    let place = |key: &str| {
        ada.authorize(Request::post("/v1/orders"))
            .header("idempotency-key", key)
    };
    let paid = counter
        .count(
            "POST /v1/orders, two SKUs and a coupon",
            201,
            place("paid"),
            Some(&order(cart)),
        )
        .await
        .json();
    counter
        .count(
            "POST /v1/orders, replayed",
            201,
            place("paid"),
            Some(&order(cart)),
        )
        .await;
    let show = ada.authorize(Request::get(format!(
        "/v1/orders/{}",
        paid["id"].as_str().unwrap()
    )));
    counter.count("GET /v1/orders/{id}", 200, show, None).await;
    paid
}

async fn fail_and_cancel_orders(counter: &mut Counter, ada: &Person) {
    let place = |key: &str| {
        let request = ada.authorize(Request::post("/v1/orders"));
        request.header("idempotency-key", key)
    };
    let other = another_cart(counter, ada).await;
    for (operation, status, token) in [
        ("POST /v1/orders, declined", 402, "tok_declined"),
        ("POST /v1/orders, unknown payment token", 400, "tok_unknown"),
    ] {
        let body = with(order(other), "payment_token", token);
        counter.count(operation, status, place(token), Some(&body)).await;
    }
    counter.shop.set_stock("SKU-1-1", 0).await;
    counter
        .count(
            "POST /v1/orders, sold out",
            409,
            place("short"),
            Some(&order(other)),
        )
        .await;
    counter.shop.set_stock("SKU-1-1", 10).await;
    counter.shop.gateway.inject(FaultMode::Stalled);
    let pending = counter
        .count(
            "POST /v1/orders, payment outcome unknown",
            202,
            place("pending"),
            Some(&order(other)),
        )
        .await
        .json();
    counter.shop.gateway.inject(FaultMode::Healthy);
    let cancel = |order: &Value| {
        let id = order["id"].as_str().unwrap();
        ada.authorize(Request::post(format!("/v1/orders/{id}/cancel")))
    };
    counter
        .count("POST /v1/orders/{id}/cancel", 200, cancel(&pending), None)
        .await;
    counter
        .count(
            "POST /v1/orders/{id}/cancel, repeated",
            200,
            cancel(&pending),
            None,
        )
        .await;
    let list = ada.authorize(Request::get("/v1/orders"));
    counter
        .count("GET /v1/orders, a page of three", 200, list, None)
        .await;
}

/// Marks the order as shipped, and reports its delivery. Its label may exist already.
async fn deliver(counter: &mut Counter, paid: &Value) {
    let id = paid["id"].as_str().unwrap();
    counter
        .shop
        .database
        .execute(&format!(
            "insert into shipments (order_id, carrier_label, tracking_number) values ('{id}', 'lbl', 'BK1')
             on conflict (order_id) do update set tracking_number = 'BK1';
             update orders set status = 'fulfilled' where id = '{id}'"
        ))
        .await;
    let event = json!({ "event": "delivered", "tracking_number": "BK1" });
    let signature = signature(CARRIER_SECRET, 0, &event.to_string());
    let post = Request::post("/v1/webhooks/carrier").header("x-carrier-signature", signature);
    counter
        .count("POST /v1/webhooks/carrier", 204, post, Some(&event))
        .await;
}

async fn review(counter: &mut Counter, ada: &Person) {
    let review = json!({ "rating": 5, "title": "A joy", "body": "I use it every day." });
    let post = || ada.authorize(Request::post("/v1/products/product-1/reviews"));
    counter
        .count("POST /v1/products/{slug}/reviews", 201, post(), Some(&review))
        .await;
    counter
        .count(
            "POST /v1/products/{slug}/reviews, a second one",
            409,
            post(),
            Some(&review),
        )
        .await;
}

async fn administer(counter: &mut Counter) {
    Person::new(&counter.shop, "admin").await;
    counter
        .shop
        .database
        .execute("update customers set role = 'admin' where email = 'admin@example.com'")
        .await;
    // The tokens have the role at the time of the sign-in.
    let response = sign_in(&counter.shop, "admin@example.com", PASSWORD).await;
    let admin = Person::signed_in("admin@example.com", &response);
    let patch = || admin.authorize(Request::patch("/v1/admin/products/product-1"));
    for (operation, change) in [
        (
            "PATCH /v1/admin/products/{slug}, title",
            json!({ "title": "A lantern" }),
        ),
        (
            "PATCH /v1/admin/products/{slug}, two prices",
            json!({ "prices": [
                { "sku": "SKU-1-0", "price": { "amount": 777, "currency": "EUR" } },
                { "sku": "SKU-1-1", "price": { "amount": 888, "currency": "EUR" } },
            ] }),
        ),
        (
            "PATCH /v1/admin/products/{slug}, no change",
            json!({ "title": "A lantern" }),
        ),
    ] {
        counter.count(operation, 200, patch(), Some(&change)).await;
    }
    let put = || admin.authorize(Request::put("/v1/admin/stock/SKU-1-0"));
    for (operation, quantity) in [
        ("PUT /v1/admin/stock/{sku}", 20),
        ("PUT /v1/admin/stock/{sku}, to zero", 0),
    ] {
        let body = json!({ "quantity": quantity });
        counter.count(operation, 200, put(), Some(&body)).await;
    }
    for operation in ["GET /v1/admin/orders", "GET /v1/admin/audit-log"] {
        let get = admin.authorize(Request::get(operation.strip_prefix("GET ").unwrap()));
        counter.count(operation, 200, get, None).await;
    }
}

/// Asserts that every operation of the document has a budget, here or in the catalogue's.
async fn assert_all_are_counted(counter: &Counter) {
    let document = counter.shop.get("/openapi.json").await.ok().json();
    let counted: BTreeSet<&str> = counter
        .statements
        .keys()
        .map(|name| method_and_path(name))
        .collect();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = format!("{} {path}", method.to_uppercase());
            let is_elsewhere = method == "get" && operation["tags"][0] == "Catalog";
            assert!(
                is_elsewhere || counted.contains(name.as_str()),
                "{name} has no budget"
            );
        }
    }
}

#[tokio::test]
async fn every_operation_is_within_its_budget() {
    let simulators = Simulators::start().await;
    assert_recorded("budgets/operations.json", &count_purchase(&simulators).await);
}
