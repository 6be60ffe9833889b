//! The rivals that the product is measured against do what they are taken for.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use loadtests::costs::{StoreUrls, machine};
use loadtests::limits::{BareServer, Execution, Pgbench, StatementTap, redis_get_rate};
use loadtests::load::{Request, closed_loop, fetch};
use local_services::{Purpose, Services};
use sqlx::{Connection, PgConnection};

const LAB: &str = env!("CARGO_BIN_EXE_backstock-lab");

#[tokio::test]
async fn the_tap_hears_statements_with_their_parameters_and_pgbench_runs_them() {
    let services = Services::start(Purpose::Tests).unwrap();
    let url = services.database_url("postgres");
    let tap = StatementTap::start(&url).unwrap();
    let mut database = PgConnection::connect(tap.url()).await.unwrap();
    tap.take().unwrap();

    let keys = vec![uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2)];
    let sql = "select key, $2::int8 from unnest($1::uuid[]) key limit 5";
    for _ in 0..2 {
        let rows = sqlx::query(sql)
            .bind(&keys)
            .bind(7_i64)
            .fetch_all(&mut database)
            .await
            .unwrap();
        assert_eq!(rows.len(), 2, "what passes the tap arrives");
    }
    sqlx::query("select 'catalog_epoch'")
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();

    let parameters = vec![format!("{{{},{}}}", keys[0], keys[1]), "7".to_owned()];
    let expected = Execution {
        sql: sql.to_owned(),
        parameters,
    };
    let heard = tap.take().unwrap();
    assert_eq!(heard, [expected.clone(), expected]);
    assert_eq!(tap.take().unwrap(), []);

    let pgbench = Pgbench::new(&services.postgres_bin().join("pgbench"), &url, &heard).unwrap();
    assert!(pgbench.run(2, Duration::from_secs(1)).await.unwrap() > 0.0);
    let wrong = Execution {
        sql: "select no_such_column".to_owned(),
        parameters: Vec::new(),
    };
    let wrong = Pgbench::new(&services.postgres_bin().join("pgbench"), &url, &[wrong]).unwrap();
    let error = wrong
        .run(1, Duration::from_secs(1))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no_such_column"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bare_routes_answer_with_the_given_bytes_and_headers() {
    let services = Services::start(Purpose::Tests).unwrap();
    let redis_url = services.redis_url(251);
    let mut redis = redis::Client::open(redis_url.as_str())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let key = format!("bare-route-{}", std::process::id());
    let () = redis::AsyncCommands::set(&mut redis, &key, "from Redis")
        .await
        .unwrap();

    let lab = Path::new(LAB);
    let empty = BareServer::empty(lab).await.unwrap();
    let mut answer = fetch(empty.target(), &Request::get("/any").unwrap())
        .await
        .unwrap();
    assert!(answer.body.is_empty());
    answer.body = "from memory".into();
    answer.headers.insert("etag", "\"seven\"".parse().unwrap());

    let bytes = BareServer::bytes(lab, &answer).await.unwrap();
    let stored = BareServer::redis(lab, &answer, &redis_url, &key).await.unwrap();
    for (server, body) in [(&bytes, "from memory"), (&stored, "from Redis")] {
        let answer = fetch(server.target(), &Request::get("/any").unwrap())
            .await
            .unwrap();
        assert_eq!(
            (answer.body.as_ref(), &answer.headers["etag"]),
            (body.as_bytes(), &"\"seven\"".parse().unwrap())
        );
        let requests: Arc<[Request]> = [Request::get("/").unwrap()].into();
        let outcome = closed_loop(server.target(), &requests, 2, Duration::from_millis(100), 1)
            .await
            .unwrap();
        assert!(outcome.completed > 0 && outcome.errors.total() == 0);
    }
    assert!(redis_get_rate(&redis_url, &key, 2, 1_000).await.unwrap() > 0.0);
    let () = redis::AsyncCommands::del(&mut redis, &key).await.unwrap();
}

#[tokio::test]
async fn the_stores_state_their_versions() {
    let services = Services::start(Purpose::Tests).unwrap();
    let (postgres, redis, amqp) = (
        services.database_url("postgres"),
        services.redis_url(0),
        services.amqp_url("/"),
    );
    let urls = StoreUrls {
        postgres: Some(&postgres),
        redis: Some(&redis),
        amqp: Some(&amqp),
    };
    let machine = machine(urls).await.unwrap();
    for version in [machine.postgres, machine.redis, machine.rabbitmq] {
        let version = version.unwrap();
        assert!(
            version.starts_with(|first: char| first.is_ascii_digit()),
            "{version}"
        );
    }
}
