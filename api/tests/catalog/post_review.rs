//! Posting a review: only customers who bought the product, once each, and visible to all.

use axum::http::Request;
use serde_json::{Value, json};

use crate::support::people::Person;
use crate::support::response::TestResponse;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

const REVIEWS: &str = "/v1/products/product-4/reviews";

fn review() -> Value {
    json!({ "rating": 5, "title": "A joy", "body": "I use it\nevery day." })
}

/// Inserts an order of the product with this status.
async fn buy(shop: &TestShop, customer: &Person, product: &str, status: &str) {
    shop.database
        .execute(&format!(
            "with placed as (
                 insert into orders (id, customer_id, reserved_until, subtotal_cents, shipping_cents, total_cents,
                                     currency, status, shipping_method, email, shipping_address)
                 values (gen_random_uuid(), '{}', now(), 0, 0, 0, 'EUR', '{status}', 'standard', 'a@example.com', '{{}}')
                 returning id
             )
             insert into order_lines (order_id, position, variant_id, product_id, quantity, unit_price_cents, sku, title,
                                      variant_title)
             select placed.id, 0, v.id, p.id, 1, 0, v.sku, p.title, v.title
             from placed, products p join variants v on v.product_id = p.id
             where p.slug = '{product}' and v.position = 0",
            customer.id
        ))
        .await;
}

async fn post(shop: &TestShop, customer: &Person, review: &Value) -> TestResponse {
    shop.send_json(customer.authorize(Request::post(REVIEWS)), review)
        .await
}

#[tokio::test]
async fn a_customer_who_bought_a_product_reviews_it_once() {
    let shop = TestShop::start().await;
    let customer = Person::customer(&shop).await;
    buy(&shop, &customer, "product-4", "paid").await;
    assert!(shop.get(REVIEWS).await.ok().items().is_empty());
    let posted = post(&shop, &customer, &review()).await;
    assert_eq!(
        (posted.status.as_u16(), posted.statements()),
        (201, 1),
        "{}",
        posted.text()
    );
    let posted = posted.json();
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("review_posted", posted, { ".id" => "[id]", ".created_at" => "[at]" });
    });
    until("the review is shown", async || {
        (shop.get(REVIEWS).await.ok().items() == [posted.clone()]).then_some(())
    })
    .await;
    let product = shop
        .get("/v1/products/product-4?include=reviews")
        .await
        .ok()
        .json();
    assert_eq!(product["rating"], json!({ "average": 5.0, "count": 1 }));
    assert_eq!(product["reviews"], json!([posted]));

    let again = json!({ "rating": 1, "body": "On second thought" });
    post(&shop, &customer, &again)
        .await
        .problem(409, "already_reviewed");
    buy(&shop, &customer, "product-4", "delivered").await;
    post(&shop, &customer, &again)
        .await
        .problem(409, "already_reviewed");
    assert_eq!(shop.get(REVIEWS).await.ok().items().len(), 1);
}

#[tokio::test]
async fn only_a_paid_order_permits_a_review() {
    let shop = TestShop::start().await;
    let customer = Person::customer(&shop).await;
    shop.send_json(Request::post(REVIEWS), &review())
        .await
        .problem(401, "unauthenticated");
    post(&shop, &customer, &review()).await.problem(403, "not_bought");
    buy(&shop, &customer, "product-5", "paid").await;
    buy(&shop, &Person::customer(&shop).await, "product-4", "paid").await;
    for status in ["pending_payment", "payment_failed", "cancelled"] {
        buy(&shop, &customer, "product-4", status).await;
        post(&shop, &customer, &review()).await.problem(403, "not_bought");
    }
    for status in ["paid", "fulfilled", "delivered"] {
        let buyer = Person::customer(&shop).await;
        buy(&shop, &buyer, "product-4", status).await;
        let posted = post(&shop, &buyer, &json!({ "rating": 3, "body": "Well." })).await;
        assert_eq!(
            (posted.status.as_u16(), posted.json()["title"].clone()),
            (201, json!("")),
            "{status}"
        );
    }
    // An inactive product can't be reviewed.
    let mut request = Request::post("/v1/products/product-11/reviews");
    buy(&shop, &customer, "product-11", "paid").await;
    request = customer.authorize(request);
    shop.send_json(request, &review()).await.problem(404, "not_found");
    shop.database
        .execute("update reviews set customer_id = null; delete from orders; delete from customers")
        .await;
    post(&shop, &customer, &review())
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn one_of_two_concurrent_reviews_succeeds() {
    let shop = TestShop::start_with(Changes::default().set("--database-connections", 4)).await;
    for _ in 0..10 {
        let customer = Person::customer(&shop).await;
        buy(&shop, &customer, "product-4", "paid").await;
        let review = review();
        let (one, other) = tokio::join!(post(&shop, &customer, &review), post(&shop, &customer, &review));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{} {}", one.text(), other.text());
    }
    assert_eq!(
        shop.database
            .number("select review_count from products where slug = 'product-4'")
            .await,
        10
    );
}

#[tokio::test]
async fn an_invalid_review_is_rejected_by_parameter() {
    let shop = TestShop::start().await;
    let customer = Person::customer(&shop).await;
    buy(&shop, &customer, "product-4", "paid").await;
    const CHANGES: &str = "select count(*) from catalog_changes";
    let changes = shop.database.number(CHANGES).await;
    let with = |field: &str, value: Value| {
        let mut review = review();
        review[field] = value;
        review
    };
    for (review, parameter) in [
        (with("rating", json!(0)), "rating"),
        (with("rating", json!(6)), "rating"),
        (with("rating", json!(4.5)), "rating"),
        (with("rating", json!("5")), "rating"),
        (with("title", json!("")), "title"),
        (with("title", json!("x".repeat(256))), "title"),
        (with("body", json!("")), "body"),
        (with("body", json!(" \n ")), "body"),
        (with("body", json!("a\u{0}b")), "body"),
        (with("body", json!("é".repeat(10_001))), "body"),
        (with("author", json!("Another Author")), "author"),
        (with("created_at", json!("2020-01-01T00:00:00Z")), "created_at"),
        (json!({ "rating": 5 }), "body"),
    ] {
        let problem = post(&shop, &customer, &review)
            .await
            .problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter, "{problem}");
    }
    let unknown = customer.authorize(Request::post("/v1/products/no-such-product/reviews"));
    shop.send_json(unknown, &review()).await.problem(404, "not_found");
    let parameters = customer.authorize(Request::post(format!("{REVIEWS}?limit=3")));
    shop.send_json(parameters, &review())
        .await
        .problem(400, "invalid_parameter");
    assert_eq!(shop.database.number(CHANGES).await, changes);
    let longest = with("body", json!("é".repeat(10_000)));
    assert_eq!(post(&shop, &customer, &longest).await.status, 201);
}
