//! The relay: everything in the outbox is said, nothing is forgotten before the broker has it.

use storefront::messages::{Consumer, EXCHANGE, Event};
use uuid::Uuid;

use crate::support::{Shop, until, until_equal};

const RELAY: (&str, &str) = ("BACKSTOCK_PARTS", "relay");

async fn fill_outbox(shop: &Shop, events: i64) {
    let sql = format!(
        "insert into outbox (message_id, event, body)
         select gen_random_uuid(), 'order.paid', jsonb_build_object('v', 1, 'order_id', gen_random_uuid())
         from generate_series(1, {events})"
    );
    shop.database.execute(&sql).await;
}

async fn until_outbox_holds(shop: &Shop, events: i64) {
    until_equal("the outbox is relayed", events, async || {
        shop.database.number("select count(*) from outbox").await
    })
    .await;
}

#[tokio::test]
async fn several_relays_share_the_outbox_and_say_each_event_once_to_each_queue() {
    let shop = Shop::open().await;
    fill_outbox(&shop, 3000).await;
    let settings = [RELAY, ("BACKSTOCK_RELAY_WINDOW", "256")];
    let (first, second) = tokio::join!(shop.worker(&settings), shop.worker(&settings));
    until_outbox_holds(&shop, 0).await;
    for consumer in [
        Consumer::ConfirmationEmail,
        Consumer::ShippingLabel,
        Consumer::Popularity,
    ] {
        assert_eq!(
            shop.broker.ready(&consumer.queue()).await,
            Some(3000),
            "{consumer:?}"
        );
    }
    assert_eq!(shop.broker.ready(&Consumer::WelcomeEmail.queue()).await, Some(0));
    let said =
        first.counter("outbox_relayed_total", &[]).await + second.counter("outbox_relayed_total", &[]).await;
    assert_eq!(said, 3000);
    shop.close().await;
}

#[tokio::test]
async fn a_relay_that_is_woken_does_not_wait_for_its_poll() {
    let shop = Shop::open().await;
    // Longer than the test's patience: only the wake-up can do it.
    let worker = shop.worker(&[RELAY, ("BACKSTOCK_RELAY_POLL_MS", "600000")]).await;
    until("it listens", async || {
        worker.get("/readyz").await.1.contains("wake-up")
    })
    .await;
    fill_outbox(&shop, 1).await;
    shop.database.execute("notify outbox").await;
    until_outbox_holds(&shop, 0).await;
    shop.close().await;
}

#[tokio::test]
async fn an_event_that_nobody_knows_stays_in_the_outbox_and_holds_up_no_other() {
    let shop = Shop::open().await;
    let unknown = "insert into outbox (message_id, event, body) values (gen_random_uuid(), 'order.eaten', '{\"v\": 1}')";
    shop.database.execute(unknown).await;
    let window = ("BACKSTOCK_RELAY_WINDOW", "1");
    let worker = shop.worker(&[RELAY, window]).await;
    fill_outbox(&shop, 10).await;
    // Known, and nobody waits for it: it may vanish at the exchange.
    let cancelled = Event::OrderCancelled {
        order_id: Uuid::now_v7(),
    };
    shop.say(Uuid::now_v7(), cancelled).await;
    until_outbox_holds(&shop, 1).await;
    assert_eq!(shop.broker.ready(&Consumer::Popularity.queue()).await, Some(10));
    assert_eq!(
        shop.database.text("select event from outbox").await,
        "order.eaten"
    );
    assert!(worker.counter("outbox_returned_total", &[]).await >= 1);
    shop.close().await;
}

#[tokio::test]
async fn what_somebody_deleted_at_the_broker_is_declared_again_and_no_event_is_lost() {
    let shop = Shop::open().await;
    let worker = shop.worker(&[RELAY]).await;
    // Publishing to an exchange that doesn't exist closes the channel.
    shop.broker.delete_exchange(EXCHANGE).await;
    fill_outbox(&shop, 5).await;
    until_outbox_holds(&shop, 0).await;
    // An event that no queue takes is returned.
    shop.broker.delete_queue(&Consumer::WelcomeEmail.queue()).await;
    let registered = Event::CustomerRegistered {
        customer_id: Uuid::now_v7(),
    };
    shop.say(Uuid::now_v7(), registered).await;
    until_outbox_holds(&shop, 0).await;
    assert_eq!(shop.broker.ready(&Consumer::Popularity.queue()).await, Some(5));
    assert_eq!(shop.broker.ready(&Consumer::WelcomeEmail.queue()).await, Some(1));
    until("it is ready again", async || worker.get("/readyz").await.0 == 200).await;
    shop.close().await;
}

/// Pages that the relay's claims have looked at, and how often it claimed.
async fn claims(shop: &Shop) -> (i64, i64) {
    let of = async |what: &str| {
        let sql = format!(
            "select coalesce(sum({what}), 0) from pg_stat_statements
             where dbid = (select oid from pg_database where datname = current_database())
               and query like '%from outbox%for update skip locked%' and query not like '%pg_stat_statements%'"
        );
        shop.database.number(&sql).await
    };
    (of("shared_blks_hit + shared_blks_read").await, of("calls").await)
}

#[tokio::test]
async fn a_claim_does_not_walk_what_was_published_while_a_backup_keeps_it_from_being_vacuumed() {
    const EVENTS: i64 = 5000;
    let shop = Shop::open().await;
    shop.database
        .execute("create extension if not exists pg_stat_statements")
        .await;
    let mut backup = shop.database.pool.begin().await.unwrap();
    for sql in [
        "set transaction isolation level repeatable read, read only",
        "select from products",
    ] {
        sqlx::query(sql).execute(&mut *backup).await.unwrap();
    }
    // Nothing but claims that events cause, and no look through all of it.
    let settings = [
        RELAY,
        ("BACKSTOCK_RELAY_FULL_LOOK_MS", "600000"),
        ("BACKSTOCK_RELAY_POLL_MS", "20"),
    ];
    let _worker = shop.worker(&settings).await;
    fill_outbox(&shop, EVENTS).await;
    until_outbox_holds(&shop, 0).await;
    // The floor rises with the next windows, when what ran before them has ended.
    until("claims are cheap", async || {
        let (pages, calls) = claims(&shop).await;
        fill_outbox(&shop, 1).await;
        until_outbox_holds(&shop, 0).await;
        until("it has claimed again", async || {
            claims(&shop).await.1 >= calls + 5
        })
        .await;
        let (pages_then, calls_then) = claims(&shop).await;
        pages_then - pages <= 20 * (calls_then - calls)
    })
    .await;
    // It stays so.
    let (pages, calls) = claims(&shop).await;
    for _ in 0..5 {
        fill_outbox(&shop, 1).await;
        until_outbox_holds(&shop, 0).await;
    }
    let (pages_then, calls_then) = claims(&shop).await;
    assert!(
        pages_then - pages <= 30 * (calls_then - calls),
        "{} pages in {} claims",
        pages_then - pages,
        calls_then - calls
    );
    drop(backup);
    shop.close().await;
}

#[tokio::test]
async fn an_event_whose_transaction_commits_after_later_ones_were_published_is_published() {
    let shop = Shop::open().await;
    let _worker = shop.worker(&[RELAY]).await;
    fill_outbox(&shop, 1).await;
    until_outbox_holds(&shop, 0).await;
    let mut late = shop.database.pool.begin().await.unwrap();
    sqlx::query(
        "insert into outbox (message_id, event, body)
         values (gen_random_uuid(), 'order.paid', jsonb_build_object('v', 1, 'order_id', gen_random_uuid()))",
    )
    .execute(&mut *late)
    .await
    .unwrap();
    for _ in 0..3 {
        fill_outbox(&shop, 10).await;
        until_outbox_holds(&shop, 0).await;
    }
    late.commit().await.unwrap();
    until_outbox_holds(&shop, 0).await;
    assert_eq!(shop.broker.ready(&Consumer::Popularity.queue()).await, Some(32));
    shop.close().await;
}
