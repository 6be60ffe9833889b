//! A customer's order history, page by page.

use axum::http::Request;
use serde_json::{Value, json};

use super::shop::{Buyer, Shop, expect};
use crate::support::arms::each_arm;
use crate::support::response::TestResponse;
use crate::support::shop::Changes;

async fn get(shop: &Shop, buyer: &Buyer, path: &str) -> TestResponse {
    shop.send(buyer.identify(Request::get(path))).await
}

#[tokio::test]
async fn every_order_is_visited_once_and_newest_first_while_others_are_placed() {
    each_arm("order_history", async || {
        let shop = Shop::with(Changes::default()).await;
        shop.set_stock("SKU-1-0", 100).await;
        shop.set_stock("SKU-1-1", 100).await;
        let (buyer, other) = (shop.customer().await, shop.customer().await);
        let mut placed: Vec<Value> = Vec::new();
        for number in 0..7 {
            let cart = shop
                .cart(&buyer, &[("SKU-1-0", 1 + number), ("SKU-1-1", 1)])
                .await;
            placed.insert(0, expect(shop.buy(&buyer, cart).await, 201).json());
            let others = shop.cart(&other, &[("SKU-1-0", 1)]).await;
            expect(shop.buy(&other, others).await, 201);
        }
        let (mut path, mut visited) = ("/v1/orders?limit=3".to_owned(), Vec::new());
        loop {
            let page = get(&shop, &buyer, &path).await.ok();
            visited.extend(page.items());
            let later = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
            expect(shop.buy(&buyer, later).await, 201);
            match page.next() {
                Some(next) => {
                    assert_eq!(page.header("link").unwrap(), format!("<{next}>; rel=\"next\""));
                    path = next;
                }
                None => break,
            }
        }
        let ids =
            |orders: &[Value]| -> Vec<Value> { orders.iter().map(|order| order["id"].clone()).collect() };
        assert_eq!(ids(&visited), ids(&placed));
        for (seen, placed) in visited.iter().zip(&placed) {
            for field in ["number", "status", "created_at", "items", "totals"] {
                assert_eq!(seen[field], placed[field], "{field}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn orders_are_filtered_by_status_and_a_cursor_belongs_to_its_list() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 100).await;
    let (buyer, other) = (shop.customer().await, shop.customer().await);
    for customer in [&buyer, &buyer, &buyer, &other, &other] {
        let cart = shop.cart(customer, &[("SKU-1-0", 1)]).await;
        expect(shop.buy(customer, cart).await, 201);
    }
    shop.database
        .execute("update orders set status = 'delivered' where number = (select min(number) from orders)")
        .await;
    let statuses = async |path: &str| get(&shop, &buyer, path).await.ok().each("status");
    assert_eq!(
        statuses("/v1/orders?status=delivered").await,
        [json!("delivered")]
    );
    assert_eq!(
        statuses("/v1/orders?status=paid").await,
        [json!("paid"), json!("paid")]
    );
    assert!(statuses("/v1/orders?status=cancelled").await.is_empty());

    let next = get(&shop, &buyer, "/v1/orders?limit=1&status=paid")
        .await
        .ok()
        .next()
        .unwrap();
    assert!(next.contains("status=paid"), "{next}");
    assert_eq!(statuses(&next).await, [json!("paid")]);
    for path in [
        next.replace("status=paid&", ""),
        "/v1/orders?after=".to_owned(),
        "/v1/orders?page=2".to_owned(),
    ] {
        get(&shop, &buyer, &path).await.problem(400, "invalid_parameter");
    }
    get(&shop, &other, &next).await.problem(400, "invalid_parameter");
    get(&shop, &buyer, "/v1/orders?status=lost")
        .await
        .problem(400, "invalid_parameter");
    shop.get("/v1/orders").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn the_orders_of_others_are_not_found() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 100).await;
    let (buyer, other) = (shop.customer().await, shop.customer().await);
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    let placed = expect(shop.buy(&buyer, cart).await, 201).json();
    let path = format!("/v1/orders/{}", placed["id"].as_str().unwrap());
    get(&shop, &buyer, &path).await.ok();
    get(&shop, &other, &path).await.problem(404, "not_found");
    shop.get(&path).await.problem(404, "not_found");
    get(&shop, &buyer, "/v1/orders/1").await.problem(404, "not_found");
    get(&shop, &buyer, &format!("{path}?x=1"))
        .await
        .problem(400, "invalid_parameter");
    let cancel = Request::post(format!("{path}/cancel"));
    shop.send(other.identify(cancel)).await.problem(404, "not_found");
}
