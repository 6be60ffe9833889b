//! Timeouts for locks, for statements, and for idle transactions.

use api::web::request_class::RequestClass;
use api::web::timings::Timings;
use axum::http::Request;
use serde_json::json;

use crate::carts::Cart;
use crate::support::database::execute;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

#[tokio::test]
async fn a_request_that_waits_for_a_lock_is_shed_while_others_are_served() {
    let changes = Changes::default().set("--database-lock-timeout-ms", 100);
    let shop = TestShop::start_with(changes).await;
    let (locked, free) = (Cart::for_guest(&shop).await, Cart::for_guest(&shop).await);
    let put = async |cart: &Cart<'_>| {
        let request = cart.authorize(Request::put(cart.path("/items/SKU-1-0")));
        shop.send_json(request, &json!({ "quantity": 1 })).await
    };
    let mut blocker = shop.database.connect().await;
    let lock = format!(
        "begin; update carts set updated_at = updated_at where id = '{}'",
        locked.id
    );
    execute(&mut blocker, &lock).await;
    let response = put(&locked).await;
    response.problem(503, "overloaded");
    assert_eq!(response.header("retry-after"), Some("1"));
    put(&free).await.ok();
    shop.get("/v1/products?limit=3").await.ok();
    execute(&mut blocker, "rollback").await;
    put(&locked).await.ok();
}

#[tokio::test]
async fn reads_have_a_shorter_statement_timeout_than_other_requests() {
    let changes = Changes::default().set("--database-read-statement-timeout-ms", 100);
    let shop = TestShop::start_with(changes).await;
    let cart = Cart::for_guest(&shop).await;
    let mut blocker = shop.database.connect().await;
    execute(
        &mut blocker,
        "begin; lock table products, carts in access exclusive mode",
    )
    .await;
    let list = async {
        for path in ["/v1/products?limit=3", "/v1/products?q=lantern"] {
            let response = shop.get(path).await;
            response.problem(503, "timeout");
            assert_eq!(response.header("retry-after"), Some("1"));
        }
        until("only the cart's statement is left", async || {
            (shop.database.requests_waiting_for_lock().await == 1).then_some(())
        })
        .await;
        execute(&mut blocker, "rollback").await;
    };
    let (shown, ()) = tokio::join!(cart.show(), list);
    shown.ok();
}

#[tokio::test]
async fn postgres_ends_an_idle_transaction() {
    let changes = Changes::default().set("--database-idle-transaction-timeout-ms", 100);
    let shop = TestShop::start_with(changes).await;
    let timings = Timings::start(RequestClass::Buy);
    let mut connection = shop.state.database.acquire(&timings).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let lock = "update variants set stock_quantity = stock_quantity where sku = 'SKU-1-0'";
    sqlx::query(lock).execute(&mut *transaction).await.unwrap();
    // No statement follows, so the transaction is idle in Postgres.
    let mut other = shop.database.connect().await;
    until("its lock is released", async || {
        let nowait = "select 1 from variants where sku = 'SKU-1-0' for update nowait";
        sqlx::query(nowait).execute(&mut other).await.ok()
    })
    .await;
    let error = sqlx::query(lock).execute(&mut *transaction).await.unwrap_err();
    let response = axum::response::IntoResponse::into_response(api::web::error::ApiError::from(error));
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
}

#[tokio::test]
async fn connections_have_timeouts_and_detect_a_dead_peer() {
    let changes = Changes::default().set("--database-lock-timeout-ms", 1_000);
    let shop = TestShop::start_with(changes).await;
    let timings = Timings::start(RequestClass::Buy);
    let mut connection = shop.state.database.acquire(&timings).await.unwrap();
    for (setting, value) in [
        ("tcp_keepalives_idle", "15"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "30000"),
        ("client_connection_check_interval", "50ms"),
        ("lock_timeout", "1s"),
        ("idle_in_transaction_session_timeout", "15s"),
    ] {
        let set: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(set, value, "{setting}");
    }
}
