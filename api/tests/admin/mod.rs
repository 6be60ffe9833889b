//! The admin routes: which requests are permitted, and that every change becomes visible and is recorded in
//! the audit log.

mod bad_input;
mod lists;
mod updates;
mod visibility;

use axum::http::Request;
use serde_json::{Value, json};

use crate::support::people::Person;
use crate::support::response::TestResponse;
use crate::support::shop::TestShop;

/// A client with an admin's access token.
pub struct AdminClient<'s> {
    pub shop: &'s TestShop,
    pub person: Person,
}

impl<'s> AdminClient<'s> {
    pub async fn new(shop: &'s TestShop) -> Self {
        Self {
            shop,
            person: Person::admin(shop).await,
        }
    }

    pub async fn get(&self, path: &str) -> TestResponse {
        self.shop.send(self.person.authorize(Request::get(path))).await
    }

    pub async fn change(&self, slug: &str, change: &Value) -> TestResponse {
        let request = Request::patch(format!("/v1/admin/products/{slug}"));
        self.shop.send_json(self.person.authorize(request), change).await
    }

    pub async fn set_stock(&self, sku: &str, quantity: impl Into<Value>) -> TestResponse {
        let request = Request::put(format!("/v1/admin/stock/{sku}"));
        let body = json!({ "quantity": quantity.into() });
        self.shop.send_json(self.person.authorize(request), &body).await
    }

    /// The audit log, newest first: action, subject, before, after.
    pub async fn log(&self) -> Vec<[Value; 4]> {
        let entries = self.get("/v1/admin/audit-log?limit=100").await.ok().items();
        let entry =
            |entry: &Value| ["action", "subject", "before", "after"].map(|field| entry[field].clone());
        entries.iter().map(entry).collect()
    }

    /// The number of entries in the change feed.
    pub async fn change_count(&self) -> i64 {
        self.shop
            .database
            .number("select count(*) from catalog_changes")
            .await
    }
}

pub fn eur(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

/// All admin routes of the OpenAPI document.
#[tokio::test]
async fn only_admins_have_access() {
    let shop = TestShop::start().await;
    let document = shop.get("/openapi.json").await.ok().json();
    let customer = Person::customer(&shop).await;
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/v1/admin/") {
            continue;
        }
        let path = path.replace("{slug}", "product-1").replace("{sku}", "SKU-1-0");
        for (method, operation) in operations.as_object().unwrap() {
            assert_eq!(
                operation["security"],
                json!([{ "bearer": [] }]),
                "{method} {path}"
            );
            let request = || {
                Request::builder()
                    .method(method.to_uppercase().as_str())
                    .uri(&path)
            };
            let body = json!({ "quantity": 7, "active": false });
            shop.send_json(request(), &body)
                .await
                .problem(401, "unauthenticated");
            shop.send_json(customer.authorize(request()), &body)
                .await
                .problem(403, "forbidden");
            tried += 1;
        }
    }
    assert!(tried >= 4, "{tried}");
    assert_eq!(shop.database.number("select count(*) from audit_log").await, 0);
    shop.get("/v1/products/product-1").await.ok();
}
