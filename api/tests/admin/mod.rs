//! What admins may do, who else may not, and that every change is seen and noted.

mod bad_input;
mod changing;
mod lists;
mod seen_everywhere;

use axum::http::Request;
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::people::Person;
use crate::support::shop::TestShop;

/// An admin at work.
pub struct Office<'s> {
    pub shop: &'s TestShop,
    pub admin: Person,
}

impl<'s> Office<'s> {
    pub async fn of(shop: &'s TestShop) -> Self {
        Self {
            shop,
            admin: Person::admin(shop).await,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.shop.send(self.admin.asks(Request::get(path))).await
    }

    pub async fn change(&self, slug: &str, change: &Value) -> Answer {
        let request = Request::patch(format!("/v1/admin/products/{slug}"));
        self.shop.send_json(self.admin.asks(request), change).await
    }

    pub async fn set_stock(&self, sku: &str, quantity: impl Into<Value>) -> Answer {
        let request = Request::put(format!("/v1/admin/stock/{sku}"));
        let body = json!({ "quantity": quantity.into() });
        self.shop.send_json(self.admin.asks(request), &body).await
    }

    /// The log, the newest first: action, subject, before, after.
    pub async fn log(&self) -> Vec<[Value; 4]> {
        let entries = self.get("/v1/admin/audit-log?limit=100").await.ok().items();
        let entry =
            |entry: &Value| ["action", "subject", "before", "after"].map(|field| entry[field].clone());
        entries.iter().map(entry).collect()
    }

    /// How many changes stand in the feed, that readers must see.
    pub async fn changes(&self) -> i64 {
        self.shop
            .database
            .number("select count(*) from catalog_changes")
            .await
    }
}

pub fn eur(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

/// Every route of the document below a path that only admins may use.
#[tokio::test]
async fn nobody_but_an_admin_may() {
    let shop = TestShop::start("optimized").await;
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
            shop.send_json(customer.asks(request()), &body)
                .await
                .problem(403, "forbidden");
            tried += 1;
        }
    }
    assert!(tried >= 4, "{tried}");
    assert_eq!(shop.database.number("select count(*) from audit_log").await, 0);
    shop.get("/v1/products/product-1").await.ok();
}
