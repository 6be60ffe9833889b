//! Every operation of the OpenAPI document is called without credentials, as another customer, and as a
//! customer where an admin is required. The document drives the tests: a new route is covered automatically
//! if its ids belong to owned resources (`operations.rs`, `OWNED`).

use serde_json::Value;

use super::operations::{ADDRESS, CART, ORDER, Operation, operations, token_of};
use super::people::Person;
use crate::support::response::TestResponse;
use crate::support::shop::TestShop;

/// The customer whose resources are attacked.
const OWNER: &str = "0a000000-0000-7000-8000-00000000000a";

/// Only the owner may see these. The variant in the cart has more than one unit in stock and is active, so
/// that it could be ordered.
const SECRETS: &[&str] = &["rivate", OWNER, ADDRESS, ORDER, "SKU-4-1"];

/// Adds a customer with a private address, cart and order.
async fn add_owner(shop: &TestShop) {
    shop.database
        .execute(&format!(
            "insert into customers (id, email, name, password_hash)
             values ('{OWNER}', 'owner@private.example', 'Private Owner', 'none');
             insert into addresses (id, customer_id, name, line1, city, postal_code, country)
             values ('{ADDRESS}', '{OWNER}', 'Private Owner', '1 Private Street', 'Bergen', '5003', 'NO');
             insert into carts (id, customer_id) values ('{CART}', '{OWNER}');
             insert into cart_items (cart_id, variant_id, quantity)
             select '{CART}', id, 1 from variants where sku = 'SKU-4-1';
             insert into orders (id, customer_id, reserved_until, subtotal_cents, shipping_cents, total_cents, currency,
                                 status, shipping_method, email, shipping_address)
             values ('{ORDER}', '{OWNER}', now(), 0, 0, 0, 'EUR', 'paid', 'standard', 'owner@private.example',
                     '{{\"name\": \"Private Owner\"}}')"
        ))
        .await;
}

/// All rows of the owner.
async fn owned_rows(shop: &TestShop) -> Value {
    shop.database
        .json(&format!(
            "select jsonb_build_array(
                 (select to_jsonb(c) from customers c where id = '{OWNER}'),
                 (select jsonb_agg(a) from addresses a where customer_id = '{OWNER}'),
                 (select to_jsonb(c) from carts c where id = '{CART}'),
                 (select jsonb_agg(i) from cart_items i where cart_id = '{CART}'),
                 (select jsonb_agg(o order by id) from orders o where id = '{ORDER}' or cart_id = '{CART}'),
                 (select jsonb_agg(stock_quantity) from variants where sku = 'SKU-4-1'))"
        ))
        .await
}

fn assert_reveals_nothing(response: &TestResponse, operation: &Operation) {
    let (text, name) = (response.text(), operation.name());
    for secret in SECRETS {
        assert!(!text.contains(secret), "{name} reveals {secret}: {text}");
    }
}

/// The counter-check of the other tests: the secrets exist.
#[tokio::test]
async fn the_owner_has_access() {
    let shop = TestShop::start().await;
    add_owner(&shop).await;
    let owner = token_of(OWNER, "customer");
    let operations = operations(&shop).await;
    let mut seen = String::new();
    for operation in operations.iter().filter(|operation| operation.takes_bearer()) {
        if operation.is_read() && !operation.is_for_admins() {
            seen += &shop
                .send_request(operation.request(Some(&owner)))
                .await
                .ok()
                .text();
        }
    }
    for secret in SECRETS {
        assert!(seen.contains(secret), "{secret}: {seen}");
    }
    let orders = |operation: &&Operation| operation.name() == "POST /v1/orders";
    let order = operations.iter().find(orders).unwrap();
    assert!(order.names_owned_resource(), "its body names the cart");
    let ordered = shop.send_request(order.request(Some(&owner))).await;
    assert_ne!(ordered.status, 404, "{}", ordered.text());
}

#[tokio::test]
async fn requests_without_credentials_are_rejected_where_the_document_requires_them() {
    let shop = TestShop::start().await;
    add_owner(&shop).await;
    let before = owned_rows(&shop).await;
    let operations = operations(&shop).await;
    for operation in &operations {
        let response = shop.send_request(operation.request(None)).await;
        assert_reveals_nothing(&response, operation);
        let name = operation.name();
        assert!(response.status.as_u16() < 500, "{name}: {}", response.text());
        if operation.is_open() {
            let is_sign_in = response.json_or_null()["code"] == "wrong_credentials"
                || response.json_or_null()["code"] == "refresh_token_refused";
            assert!(response.status != 401 || is_sign_in, "{name} is declared open");
            if operation.names_owned_resource() {
                assert_eq!(response.status, 404, "{name}: {}", response.text());
            }
        } else if operation.takes_bearer() {
            response.problem(401, "unauthenticated");
        } else {
            // The carrier's signature, which is a parameter.
            response.problem(400, "invalid_parameter");
        }
        if operation.takes_bearer() {
            let response = shop.send_request(operation.request(Some("forged"))).await;
            assert_eq!(
                response.status,
                401,
                "{name} with a forged token: {}",
                response.text()
            );
        }
    }
    assert_eq!(owned_rows(&shop).await, before);
}

#[tokio::test]
async fn another_customer_sees_nothing_of_the_owner() {
    let shop = TestShop::start().await;
    add_owner(&shop).await;
    let eve = Person::new(&shop, "eve").await;
    let before = owned_rows(&shop).await;
    let operations = operations(&shop).await;
    for operation in operations.iter().filter(|operation| !operation.is_for_admins()) {
        let response = shop
            .send_request(operation.request(Some(&eve.access_token)))
            .await;
        assert_reveals_nothing(&response, operation);
        let name = operation.name();
        assert!(response.status.as_u16() < 500, "{name}: {}", response.text());
        if operation.names_owned_resource() {
            // Not 403, because that would reveal that it exists.
            assert_eq!(response.status, 404, "{name}: {}", response.text());
        } else if operation.takes_bearer() {
            // Only customers who bought a product can review it.
            let is_review = response.json_or_null()["code"] == "not_bought";
            let is_permitted = response.status != 401 && response.status != 403;
            assert!(is_permitted || is_review, "{name}: {}", response.text());
        }
    }
    assert_eq!(owned_rows(&shop).await, before);
}

#[tokio::test]
async fn a_customer_has_no_admin_access() {
    let shop = TestShop::start().await;
    add_owner(&shop).await;
    let eve = Person::new(&shop, "eve").await;
    let before = owned_rows(&shop).await;
    let operations = operations(&shop).await;
    for operation in operations {
        let is_admins = operation.path.starts_with("/v1/admin/");
        assert_eq!(
            operation.is_for_admins(),
            is_admins,
            "{}: its tag",
            operation.name()
        );
        if is_admins {
            assert!(!operation.is_open(), "{}", operation.name());
            let response = shop
                .send_request(operation.request(Some(&eve.access_token)))
                .await;
            response.problem(403, "forbidden");
        }
    }
    assert_eq!(owned_rows(&shop).await, before);
}
