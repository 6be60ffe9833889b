//! Placing an order.

use serde_json::{Value, json};

use super::shop::{Buyer, Shop, expect, order, with};
use crate::support::arms::each_arm;

fn events(order: &Value) -> Vec<&str> {
    let timeline = order["timeline"].as_array().unwrap();
    timeline
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_customer_orders_the_cart_at_the_shops_prices() {
    each_arm("stock,reservation,order_lines,order_history,checkout,events", async || {
        let shop = Shop::start().await;
        shop.set_stock("SKU-1-0", 5).await;
        shop.set_stock("SKU-1-1", 3).await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 2), ("SKU-1-1", 1)]).await;
        let placed = expect(shop.buy(&buyer, cart).await, 201);
        let order = placed.json();
        assert_eq!(order["status"], "paid");
        let money = |amount: i64| json!({ "amount": amount, "currency": "EUR" });
        assert_eq!(
            order["totals"],
            json!({ "subtotal": money(2 * 9799 + 9949), "discount": money(0), "shipping": money(495),
                    "total": money(2 * 9799 + 9949 + 495) })
        );
        let mut items = order["items"].as_array().unwrap().clone();
        items.sort_by_key(|item| item["sku"].as_str().unwrap().to_owned());
        assert_eq!(
            items[0],
            json!({ "sku": "SKU-1-0", "title": "Navy linen blouse 1", "variant_title": "Small", "quantity": 2,
                    "unit_price": money(9799), "line_total": money(2 * 9799) })
        );
        assert_eq!(events(&order), ["created", "paid"]);
        assert!(order.get("order_token").is_none());
        let id = order["id"].as_str().unwrap();
        assert_eq!(placed.header("location").unwrap(), format!("/v1/orders/{id}"));
        let payment = shop.gateway.payment(id).unwrap();
        assert_eq!(
            (payment.amount, payment.currency.as_str()),
            (2 * 9799 + 9949 + 495, "EUR")
        );
        assert_eq!((shop.stock("SKU-1-0").await, shop.stock("SKU-1-1").await), (3, 2));
        let shown = shop
            .send(buyer.identify(axum::http::Request::get(format!("/v1/orders/{id}"))))
            .await;
        let shown = shown.ok().json();
        assert_eq!(events(&shown)[..2], ["created", "paid"]);
        assert_eq!(shown["items"], order["items"]);
    })
    .await;
}

#[tokio::test]
async fn an_order_is_shown_as_it_was_placed() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 5).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 2)]).await;
    let order = expect(shop.buy(&buyer, cart).await, 201).json();
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let shown = shop.send(buyer.identify(axum::http::Request::get(path))).await;
    assert_eq!(shown.ok().json(), order);
}

#[tokio::test]
async fn a_guests_order_needs_its_token() {
    each_arm(
        "stock,reservation,order_lines,order_history,checkout,events",
        async || {
            let shop = Shop::start().await;
            shop.set_stock("SKU-1-0", 5).await;
            let cart = shop.cart(&Buyer::Guest, &[("SKU-1-0", 1)]).await;
            let order = expect(shop.buy(&Buyer::Guest, cart).await, 201).json();
            let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
            let token = order["order_token"].as_str().unwrap();
            let get = |token: &str| axum::http::Request::get(&path).header("x-order-token", token);
            let shown = shop.send(get(token)).await.ok().json();
            assert_eq!(shown["number"], order["number"]);
            assert!(
                shown.get("order_token").is_none(),
                "the token is returned only once"
            );
            shop.get(&path).await.problem(404, "not_found");
            shop.send(get(super::shop::CART_TOKEN))
                .await
                .problem(404, "not_found");
            let other = shop.customer().await;
            shop.send(other.identify(axum::http::Request::get(&path)))
                .await
                .problem(404, "not_found");
        },
    )
    .await;
}

#[tokio::test]
async fn a_declined_payment_is_compensated_and_the_cart_can_be_ordered_again() {
    each_arm("stock,reservation,order_lines,order_history,checkout,events", async || {
        let shop = Shop::start().await;
        shop.set_stock("SKU-1-0", 1).await;
        shop.database
            .execute("insert into coupons (code, percent, valid_until, max_uses) values ('TEN', 10, now() + interval '1 day', 1)")
            .await;
        let buyer = shop.customer().await;
        let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
        shop.database
            .execute(&format!(
                "update carts set coupon_code = 'TEN' where id = '{cart}'"
            ))
            .await;
        let declined = with(order(cart), "payment_token", "tok_declined");
        shop.place(&buyer, "first", &declined)
            .await
            .problem(402, "payment_declined");
        assert_eq!(shop.stock("SKU-1-0").await, 1);
        assert_eq!(shop.database.number("select uses from coupons").await, 0);
        let statuses = shop.database.json("select jsonb_agg(status) from orders").await;
        assert_eq!(statuses, json!(["payment_failed"]));
        // No money is held, so the worker has nothing to void.
        let unvoided = "select count(*) from orders where payment_voided_at is null";
        assert_eq!(shop.database.number(unvoided).await, 0);
        // The key replays the outcome.
        let again = shop.place(&buyer, "first", &declined).await;
        again.problem(402, "payment_declined");
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        let paid = expect(shop.place(&buyer, "second", &order(cart)).await, 201).json();
        assert_eq!(paid["totals"]["discount"]["amount"], 980);
        assert_eq!(
            (paid["coupon"].as_str(), shop.stock("SKU-1-0").await),
            (Some("TEN"), 0)
        );
        assert_eq!(shop.database.number("select uses from coupons").await, 1);
        assert_eq!(shop.gateway.authorizations(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_payment_token_changes_nothing() {
    each_arm(
        "stock,reservation,order_lines,order_history,checkout,events",
        async || {
            let shop = Shop::start().await;
            shop.set_stock("SKU-1-0", 1).await;
            let buyer = shop.customer().await;
            let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
            let unknown = with(order(cart), "payment_token", "tok_stolen");
            let problem = shop
                .place(&buyer, "key", &unknown)
                .await
                .problem(400, "invalid_parameter");
            assert_eq!(problem["parameter"], "payment_token");
            let rows = "select (select count(*) from orders) + (select count(*) from order_lines)
                         + (select count(*) from idempotency_keys) + (select count(*) from outbox)";
            assert_eq!(
                (shop.database.number(rows).await, shop.stock("SKU-1-0").await),
                (0, 1)
            );
            expect(shop.place(&buyer, "key", &order(cart)).await, 201);
        },
    )
    .await;
}

#[tokio::test]
async fn no_price_is_accepted_from_a_request() {
    let shop = Shop::start().await;
    shop.set_stock("SKU-1-0", 1).await;
    let buyer = shop.customer().await;
    let cart = shop.cart(&buyer, &[("SKU-1-0", 1)]).await;
    let one_cent = json!({ "amount": 1, "currency": "EUR" });
    for field in [
        "price", "total", "totals", "subtotal", "discount", "shipping", "amount", "currency", "coupon",
    ] {
        let cheap = with(order(cart), field, one_cent.clone());
        let problem = shop.place(&buyer, field, &cheap).await;
        assert_eq!(problem.problem(400, "invalid_parameter")["parameter"], field);
    }
    // The only amount in a request is compared, never used, and the document says so.
    let cheap = with(order(cart), "expected_total", one_cent);
    shop.place(&buyer, "cheap", &cheap)
        .await
        .problem(409, "cart_changed");
    let document = shop.get("/openapi.json").await.ok().json();
    let description =
        document["components"]["schemas"]["NewOrder"]["properties"]["expected_total"].to_string();
    assert!(description.contains("never"), "{description}");
    assert_eq!((shop.order_count().await, shop.gateway.authorizations()), (0, 0));
}

#[tokio::test]
async fn a_sold_out_item_is_named_and_nothing_is_reserved_or_charged() {
    each_arm(
        "stock,reservation,order_lines,order_history,checkout,events",
        async || {
            let shop = Shop::start().await;
            shop.set_stock("SKU-1-0", 5).await;
            shop.set_stock("SKU-1-1", 1).await;
            let buyer = shop.customer().await;
            let cart = shop.cart(&buyer, &[("SKU-1-0", 2), ("SKU-1-1", 2)]).await;
            let problem = shop.buy(&buyer, cart).await.problem(409, "insufficient_stock");
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains("SKU-1-1") && !detail.contains("SKU-1-0"),
                "{detail}"
            );
            assert_eq!(
                (
                    shop.stock("SKU-1-0").await,
                    shop.order_count().await,
                    shop.gateway.authorizations()
                ),
                (5, 0, 0)
            );
        },
    )
    .await;
}
