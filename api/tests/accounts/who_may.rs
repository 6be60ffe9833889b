//! Every route of the document, tried as nobody, as another customer, and as a customer where an admin is asked for.
//! What the document says is what is tried: a route that is added is tried without a line here, as long as its
//! ids are those of things that somebody owns (`operations.rs`, `OWNED`).

use serde_json::Value;

use super::operations::{ADDRESS, CART, ORDER, Operation, operations, token_of};
use super::people::Person;
use crate::support::answer::Answer;
use crate::support::shop::TestShop;

/// Whose things are tried to be had.
const OWNER: &str = "0a000000-0000-7000-8000-00000000000a";

/// What only the owner is told. There is more than one of what the cart holds, and it is sold.
const SECRETS: &[&str] = &["rivate", OWNER, ADDRESS, ORDER, "SKU-4-1"];

/// Somebody has an address, a cart and an order, and may tell nobody.
async fn with_an_owner(shop: &TestShop) {
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

/// Everything of the owner's, as rows.
async fn owned(shop: &TestShop) -> Value {
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

fn tells_nothing(answer: &Answer, operation: &Operation) {
    let (text, name) = (answer.text(), operation.name());
    for secret in SECRETS {
        assert!(!text.contains(secret), "{name} tells {secret}: {text}");
    }
}

/// What the other tests try is there to be had.
#[tokio::test]
async fn the_owner_is_told_and_let_in() {
    let shop = TestShop::start("optimized").await;
    with_an_owner(&shop).await;
    let owner = token_of(OWNER, "customer");
    let operations = operations(&shop).await;
    let mut told = String::new();
    for operation in operations.iter().filter(|operation| operation.takes_bearer()) {
        if operation.is_reading() && !operation.is_for_admins() {
            told += &shop.answer(operation.request(Some(&owner))).await.ok().text();
        }
    }
    for secret in SECRETS {
        assert!(told.contains(secret), "{secret}: {told}");
    }
    let orders = |operation: &&Operation| operation.name() == "POST /v1/orders";
    let order = operations.iter().find(orders).unwrap();
    assert!(order.is_of_an_owner(), "its body names the cart");
    let ordered = shop.answer(order.request(Some(&owner))).await;
    assert_ne!(ordered.status, 404, "{}", ordered.text());
}

#[tokio::test]
async fn nobody_gets_where_the_document_asks_for_somebody() {
    let shop = TestShop::start("optimized").await;
    with_an_owner(&shop).await;
    let before = owned(&shop).await;
    let operations = operations(&shop).await;
    for operation in &operations {
        let answer = shop.answer(operation.request(None)).await;
        tells_nothing(&answer, operation);
        let name = operation.name();
        assert!(answer.status.as_u16() < 500, "{name}: {}", answer.text());
        if operation.is_open() {
            let is_sign_in = answer.json_or_null()["code"] == "wrong_credentials"
                || answer.json_or_null()["code"] == "refresh_token_refused";
            assert!(answer.status != 401 || is_sign_in, "{name} is said to be open");
            if operation.is_of_an_owner() {
                assert_eq!(answer.status, 404, "{name}: {}", answer.text());
            }
        } else if operation.takes_bearer() {
            answer.problem(401, "unauthenticated");
        } else {
            // Another's signature, which is a parameter.
            answer.problem(400, "invalid_parameter");
        }
        if operation.takes_bearer() {
            let answer = shop.answer(operation.request(Some("forged"))).await;
            assert_eq!(
                answer.status,
                401,
                "{name} with a forged token: {}",
                answer.text()
            );
        }
    }
    assert_eq!(owned(&shop).await, before);
}

#[tokio::test]
async fn another_customer_finds_nothing_of_the_owners() {
    let shop = TestShop::start("optimized").await;
    with_an_owner(&shop).await;
    let eve = Person::new(&shop, "eve").await;
    let before = owned(&shop).await;
    let operations = operations(&shop).await;
    for operation in operations.iter().filter(|operation| !operation.is_for_admins()) {
        let answer = shop.answer(operation.request(Some(&eve.access_token))).await;
        tells_nothing(&answer, operation);
        let name = operation.name();
        assert!(answer.status.as_u16() < 500, "{name}: {}", answer.text());
        if operation.is_of_an_owner() {
            // Not 403: that would tell that it exists.
            assert_eq!(answer.status, 404, "{name}: {}", answer.text());
        } else if operation.takes_bearer() {
            // What nobody has bought, nobody reviews.
            let is_review = answer.json_or_null()["code"] == "not_bought";
            let is_let_in = answer.status != 401 && answer.status != 403;
            assert!(is_let_in || is_review, "{name}: {}", answer.text());
        }
    }
    assert_eq!(owned(&shop).await, before);
}

#[tokio::test]
async fn a_customer_is_no_admin() {
    let shop = TestShop::start("optimized").await;
    with_an_owner(&shop).await;
    let eve = Person::new(&shop, "eve").await;
    let before = owned(&shop).await;
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
            let answer = shop.answer(operation.request(Some(&eve.access_token))).await;
            answer.problem(403, "forbidden");
        }
    }
    assert_eq!(owned(&shop).await, before);
}
