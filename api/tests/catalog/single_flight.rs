//! Equal requests that miss at one time have the work done once.

use std::sync::Arc;

use futures_util::future::join_all;
use sqlx::PgConnection;

use crate::support::answer::Answer;
use crate::support::database::execute;
use crate::support::shop::{Changes, TestShop};
use crate::support::until;

const PATH: &str = "/v1/products?limit=3&include=variants";

/// Holds up every statement that reads products.
async fn block(shop: &TestShop) -> PgConnection {
    let mut blocker = shop.database.connect().await;
    execute(
        &mut blocker,
        "begin; lock table products in access exclusive mode",
    )
    .await;
    blocker
}

/// Statements that are held up.
async fn blocked(shop: &TestShop) -> i64 {
    shop.database
        .number(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .await
}

async fn until_blocked(shop: &TestShop, count: i64) {
    until("statements are held up", async || {
        (blocked(shop).await == count).then_some(())
    })
    .await;
}

fn statements(answers: &[Answer]) -> u64 {
    answers.iter().map(Answer::statements).sum()
}

async fn requests(shop: &TestShop, path: &str, count: usize) -> Vec<Answer> {
    join_all((0..count).map(async |_| shop.get(path).await.ok())).await
}

/// Has the answer made once, and a change seen that makes it stale, by all of the shops.
async fn stale(shops: &[&TestShop]) -> u64 {
    // Other answers for the same changes: one for each, since what one has made again is good for the others.
    let probe = |limit: usize| format!("/v1/products?limit={}", 10 + limit);
    for (number, shop) in shops.iter().enumerate() {
        shop.get(&probe(number)).await.ok();
        assert_eq!(shop.get(&probe(number)).await.ok().cache(), "hit");
    }
    let statements = shops[0].get(PATH).await.ok().statements();
    assert_eq!(shops[0].get(PATH).await.ok().cache(), "hit");
    shops[0]
        .database
        .execute("update variants set price_cents = price_cents + 1")
        .await;
    for (number, shop) in shops.iter().enumerate() {
        until("the change is seen", async || {
            (shop.get(&probe(number)).await.ok().cache() == "miss").then_some(())
        })
        .await;
    }
    statements
}

#[tokio::test]
async fn forty_equal_requests_after_a_change_do_the_work_once() {
    let shop = TestShop::start("optimized").await;
    let once = stale(&[&shop]).await;
    let mut blocker = block(&shop).await;
    let release = async {
        until_blocked(&shop, 1).await;
        // Two connections: without single flight, there would be a second one by now.
        for _ in 0..5 {
            assert_eq!(blocked(&shop).await, 1);
        }
        execute(&mut blocker, "commit").await;
    };
    let (answers, ()) = tokio::join!(requests(&shop, PATH, 40), release);
    assert_eq!(statements(&answers), once);
    let body = &answers[0].body;
    assert!(answers.iter().all(|answer| answer.body == *body));
    let shared = answers.iter().filter(|answer| answer.cache() == "shared");
    assert!(
        shared.count() >= 38,
        "one made it, and the last may have found it"
    );
}

#[tokio::test]
async fn two_processes_do_the_work_once_or_twice() {
    let here = TestShop::start("optimized").await;
    let shared = Changes::default().set("--redis-prefix", &here.redis_prefix);
    let there = TestShop::on(here.database.clone(), here.variants, shared).await;
    let once = stale(&[&here, &there]).await;
    let (answers, others) = tokio::join!(requests(&here, PATH, 20), requests(&there, PATH, 20));
    let statements = statements(&answers) + statements(&others);
    assert!(
        statements >= once && statements <= 2 * once,
        "{statements} of {once}"
    );
    assert_eq!(answers[0].body, others[0].body);
}

#[tokio::test]
async fn when_the_request_that_does_the_work_goes_away_another_does_it() {
    let shop = Arc::new(TestShop::start("optimized").await);
    let mut blocker = block(&shop).await;
    let leader = tokio::spawn({
        let shop = shop.clone();
        async move { shop.get(PATH).await }
    });
    until_blocked(&shop, 1).await;
    let followers = async {
        let answers = requests(&shop, PATH, 10).await;
        assert!(answers.iter().all(|answer| !answer.items().is_empty()));
    };
    let release = async {
        leader.abort();
        assert!(leader.await.is_err());
        execute(&mut blocker, "commit").await;
    };
    tokio::join!(followers, release);
}

#[tokio::test]
async fn the_work_is_done_once_also_without_redis() {
    let changes = Changes::default()
        .set("--redis-timeout-ms", 100)
        .without_a_cache();
    let shop = TestShop::start_with("optimized", changes).await;
    until("the feed was read", async || {
        shop.get("/v1/products/no-such-product").await;
        shop.state.catalog.cache.knows_changes().then_some(())
    })
    .await;
    let once = shop.get(PATH).await.ok().statements();
    let mut blocker = block(&shop).await;
    let release = async {
        until_blocked(&shop, 1).await;
        execute(&mut blocker, "commit").await;
    };
    let (answers, ()) = tokio::join!(requests(&shop, PATH, 40), release);
    assert_eq!(statements(&answers), once);
}

#[tokio::test]
async fn an_error_is_shared_as_well() {
    let shop = TestShop::start("optimized").await;
    let path = "/v1/products/no-such-product";
    let once = shop.get(path).await.statements();
    let mut blocker = block(&shop).await;
    let release = async {
        until_blocked(&shop, 1).await;
        execute(&mut blocker, "commit").await;
    };
    let asked = join_all((0..40).map(async |_| shop.get(path).await));
    let (answers, ()) = tokio::join!(asked, release);
    assert_eq!(statements(&answers), once);
    for answer in answers {
        answer.problem(404, "not_found");
    }
}
