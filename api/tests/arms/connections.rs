//! With `per_request`, each request opens a connection.

use crate::database::connections::{PATH, backends, shop_behind_a_proxy};
use crate::support::arms::with_arm;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

#[tokio::test]
async fn per_request_opens_and_closes_a_connection_per_request() {
    let (shop, proxy) = with_arm("connections", "per_request", shop_behind_a_proxy).await;
    proxy.take_traffic();
    for _ in 0..5 {
        shop.get(PATH).await.ok();
    }
    let traffic = proxy.take_traffic();
    assert_eq!((traffic.connections, traffic.statements), (5, 10));
    // A rejected request needs no connection.
    shop.get("/v1/products?limit=0")
        .await
        .problem(400, "invalid_parameter");
    assert_eq!(proxy.take_traffic().connections, 0);
    until("all backends have ended", async || {
        (backends(&shop.database).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_is_shed_when_postgres_has_no_connection_left() {
    let shop = with_arm("connections", "per_request", TestShop::start).await;
    // A separate role, because the connection limit doesn't apply to superusers.
    let role = shop.database.name().replace("test_", "role_");
    shop.database
        .execute(&format!(
            "create role {role} login password 'secret' connection limit 1;
             grant select on all tables in schema public to {role}"
        ))
        .await;
    let url =
        sqlx::ConnectOptions::to_url_lossy(&shop.database.options.clone().username(&role).password("secret"));
    let changes = Changes::default().set("--database-url", url);
    let start = async || TestShop::on(shop.database.clone(), changes).await;
    let mut shop = with_arm("connections", "per_request", start).await;
    shop.stop_following_changes().await;
    let options = shop.database.options.clone().username(&role).password("secret");
    // The reader of the change feed may have used the connection for a moment.
    let only: sqlx::PgConnection = until("the only connection is free", async || {
        sqlx::ConnectOptions::connect(&options).await.ok()
    })
    .await;
    let response = shop.get(PATH).await;
    sqlx::Connection::close(only).await.unwrap();
    until("the request is served", async || {
        (shop.get(PATH).await.status == 200).then_some(())
    })
    .await;
    until("its backends have ended", async || {
        let count = "select count(*) from pg_stat_activity
                     where usename like 'role_%' and datname = current_database() and application_name = 'backstock-api'";
        (shop.database.number(count).await == 0).then_some(())
    })
    .await;
    shop.database
        .execute(&format!("drop owned by {role}; drop role {role}"))
        .await;
    response.problem(503, "overloaded");
}
