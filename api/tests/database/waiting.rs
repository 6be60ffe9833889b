//! Waiting has an end: for a lock, for a statement, and for a process that stands still in a transaction.

use api::database::Class;
use api::http::timings::Timings;
use axum::http::Request;
use serde_json::json;

use crate::carts::Cart;
use crate::support::database::{Database, execute};
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

/// Backends of the shop's requests that wait for a lock.
pub async fn waiting(database: &Database) -> i64 {
    database
        .number(
            "select count(*) from pg_stat_activity where datname = current_database()
             and application_name = 'backstock-api' and wait_event_type = 'Lock'",
        )
        .await
}

#[tokio::test]
async fn who_waits_for_a_lock_of_another_is_sent_away_while_others_are_served() {
    let changes = Changes::default().set("--database-lock-timeout-ms", 100);
    let shop = TestShop::start_with("optimized", changes).await;
    let (held, free) = (Cart::of_guest(&shop).await, Cart::of_guest(&shop).await);
    let put = async |cart: &Cart<'_>| {
        let request = cart.open(Request::put(cart.path("/items/SKU-1-0")));
        shop.send_json(request, &json!({ "quantity": 1 })).await
    };
    let mut blocker = shop.database.connect().await;
    let lock = format!(
        "begin; update carts set updated_at = updated_at where id = '{}'",
        held.id
    );
    execute(&mut blocker, &lock).await;
    let refused = put(&held).await;
    refused.problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    put(&free).await.ok();
    shop.get("/v1/products?limit=3").await.ok();
    execute(&mut blocker, "rollback").await;
    put(&held).await.ok();
}

#[tokio::test]
async fn a_list_that_takes_too_long_is_cancelled_while_others_have_longer() {
    let changes = Changes::default().set("--database-read-statement-timeout-ms", 100);
    let shop = TestShop::start_with("optimized", changes).await;
    let cart = Cart::of_guest(&shop).await;
    let mut blocker = shop.database.connect().await;
    execute(
        &mut blocker,
        "begin; lock table products, carts in access exclusive mode",
    )
    .await;
    let list = async {
        for path in ["/v1/products?limit=3", "/v1/products?q=lantern"] {
            let refused = shop.get(path).await;
            refused.problem(503, "timeout");
            assert_eq!(refused.header("retry-after"), Some("1"));
        }
        until("only the cart's statement is left", async || {
            (waiting(&shop.database).await == 1).then_some(())
        })
        .await;
        execute(&mut blocker, "rollback").await;
    };
    let (shown, ()) = tokio::join!(cart.show(), list);
    shown.ok();
}

#[tokio::test]
async fn a_transaction_that_does_nothing_is_ended_by_postgres() {
    let changes = Changes::default().set("--database-idle-transaction-timeout-ms", 100);
    let shop = TestShop::start_with("optimized", changes).await;
    let timings = Timings::start(Class::Buy);
    let mut session = shop.state.database.session(&timings).await.unwrap();
    let mut transaction = session.begin().await.unwrap();
    let lock = "update variants set stock_quantity = stock_quantity where sku = 'SKU-1-0'";
    sqlx::query(lock).execute(&mut *transaction).await.unwrap();
    // As far as Postgres can see, its process stands still.
    let mut other = shop.database.connect().await;
    until("its lock is free", async || {
        let nowait = "select 1 from variants where sku = 'SKU-1-0' for update nowait";
        sqlx::query(nowait).execute(&mut other).await.ok()
    })
    .await;
    let ended = sqlx::query(lock).execute(&mut *transaction).await.unwrap_err();
    let answer = axum::response::IntoResponse::into_response(api::http::error::ApiError::from(ended));
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
}

#[tokio::test]
async fn postgres_is_told_to_notice_a_host_that_is_gone() {
    let changes = Changes::default().set("--database-lock-timeout-ms", 1_000);
    let shop = TestShop::start_with("optimized", changes).await;
    let timings = Timings::start(Class::Buy);
    let mut session = shop.state.database.session(&timings).await.unwrap();
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
            .fetch_one(&mut session)
            .await
            .unwrap();
        assert_eq!(set, value, "{setting}");
    }
}
