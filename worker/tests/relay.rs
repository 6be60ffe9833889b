//! The relay: everything in the outbox is published, and nothing is deleted before the
//! broker has confirmed it.

use shop::messages::{Consumer, EXCHANGE, Event};
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
async fn several_relays_share_the_outbox_and_publish_each_event_once() {
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
            shop.broker.ready_messages(&consumer.queue()).await,
            Some(3000),
            "{consumer:?}"
        );
    }
    assert_eq!(
        shop.broker.ready_messages(&Consumer::WelcomeEmail.queue()).await,
        Some(0)
    );
    let relayed =
        first.counter("outbox_relayed_total", &[]).await + second.counter("outbox_relayed_total", &[]).await;
    assert_eq!(relayed, 3000);
    shop.close().await;
}

#[tokio::test]
async fn a_notified_relay_does_not_wait_for_its_poll() {
    let shop = Shop::open().await;
    // The poll interval is longer than the test's timeout, so only the notification can wake the relay.
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
async fn events_that_follow_each_other_share_a_window() {
    let shop = Shop::open().await;
    let settings = [
        RELAY,
        ("BACKSTOCK_RELAY_POLL_MS", "600000"),
        ("BACKSTOCK_RELAY_LINGER_MS", "3000"),
    ];
    let worker = shop.worker(&settings).await;
    until("it listens", async || {
        worker.get("/readyz").await.1.contains("wake-up")
    })
    .await;
    // The window of the start may take this event. Behind it, the relay waits, or has just begun to linger.
    fill_outbox(&shop, 1).await;
    shop.database.execute("notify outbox").await;
    until_outbox_holds(&shop, 0).await;
    let counted = "
        create table windows (events bigint);
        create function count_window() returns trigger language plpgsql as $$
        begin
            insert into windows select count(*) from deleted;
            return null;
        end $$;
        create trigger count_window after delete on outbox referencing old table as deleted
            for each statement execute function count_window()";
    shop.database.execute(counted).await;
    for _ in 0..5 {
        fill_outbox(&shop, 1).await;
        shop.database.execute("notify outbox").await;
    }
    until_outbox_holds(&shop, 0).await;
    let windows = "select string_agg(events::text, ',') from windows where events > 0";
    assert_eq!(shop.database.text(windows).await, "5");
    shop.close().await;
}

#[tokio::test]
async fn an_unknown_event_stays_in_the_outbox_and_does_not_delay_others() {
    let shop = Shop::open().await;
    let unknown = "insert into outbox (message_id, event, body) values (gen_random_uuid(), 'order.eaten', '{\"v\": 1}')";
    shop.database.execute(unknown).await;
    let window = ("BACKSTOCK_RELAY_WINDOW", "1");
    let worker = shop.worker(&[RELAY, window]).await;
    fill_outbox(&shop, 10).await;
    // A known event without a consumer may be discarded by the exchange.
    let cancelled = Event::OrderCancelled {
        order_id: Uuid::now_v7(),
    };
    shop.enqueue(Uuid::now_v7(), cancelled).await;
    until_outbox_holds(&shop, 1).await;
    assert_eq!(
        shop.broker.ready_messages(&Consumer::Popularity.queue()).await,
        Some(10)
    );
    assert_eq!(
        shop.database.text("select event from outbox").await,
        "order.eaten"
    );
    assert!(worker.counter("outbox_returned_total", &[]).await >= 1);
    shop.close().await;
}

#[tokio::test]
async fn a_deleted_exchange_or_queue_is_declared_again_and_no_event_is_lost() {
    let shop = Shop::open().await;
    let worker = shop.worker(&[RELAY]).await;
    // Publishing to an exchange that doesn't exist closes the channel.
    shop.broker.delete_exchange(EXCHANGE).await;
    fill_outbox(&shop, 5).await;
    until_outbox_holds(&shop, 0).await;
    // An unroutable event is returned.
    shop.broker.delete_queue(&Consumer::WelcomeEmail.queue()).await;
    let registered = Event::CustomerRegistered {
        customer_id: Uuid::now_v7(),
    };
    shop.enqueue(Uuid::now_v7(), registered).await;
    until_outbox_holds(&shop, 0).await;
    assert_eq!(
        shop.broker.ready_messages(&Consumer::Popularity.queue()).await,
        Some(5)
    );
    assert_eq!(
        shop.broker.ready_messages(&Consumer::WelcomeEmail.queue()).await,
        Some(1)
    );
    until("it is ready again", async || worker.get("/readyz").await.0 == 200).await;
    shop.close().await;
}

/// The pages that the relay's claims have read, and the number of claims.
async fn claims(shop: &Shop) -> (i64, i64) {
    let sum = async |expression: &str| {
        let sql = format!(
            "select coalesce(sum({expression}), 0) from pg_stat_statements
             where dbid = (select oid from pg_database where datname = current_database())
               and query like '%from outbox%for update skip locked%' and query not like '%pg_stat_statements%'"
        );
        shop.database.number(&sql).await
    };
    (
        sum("shared_blks_hit + shared_blks_read").await,
        sum("calls").await,
    )
}

#[tokio::test]
async fn a_claim_skips_published_rows_that_a_backup_keeps_from_being_vacuumed() {
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
    // Frequent polls, and no full scan.
    let settings = [
        RELAY,
        ("BACKSTOCK_RELAY_FULL_LOOK_MS", "600000"),
        ("BACKSTOCK_RELAY_POLL_MS", "20"),
    ];
    let _worker = shop.worker(&settings).await;
    fill_outbox(&shop, EVENTS).await;
    until_outbox_holds(&shop, 0).await;
    // The low-water mark advances with the next windows, when earlier transactions have ended.
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
    // Claims stay cheap.
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
    assert_eq!(
        shop.broker.ready_messages(&Consumer::Popularity.queue()).await,
        Some(32)
    );
    shop.close().await;
}
