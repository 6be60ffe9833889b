//! Workers that are killed mid-work, or that lose Postgres: nothing is lost, and nothing is done twice.

use serde_json::json;
use shop::messages::Consumer;

use crate::support::{Shop, until, until_equal};

const EMAIL: &str = r#"consumer="confirmation_email""#;

#[tokio::test]
async fn workers_that_are_killed_lose_nothing_and_do_nothing_twice() {
    const ORDERS: usize = 150;
    const CONCURRENCY: i64 = 8;
    let shop = Shop::open().await;
    for service in [&shop.simulators.carrier, &shop.simulators.inbox] {
        let slow = json!({ "latency_median_ms": 20.0, "latency_p99_ms": 60.0 });
        shop.simulators.set_faults(service, slow).await;
    }
    shop.paid_orders(ORDERS).await;
    let settings = [
        ("BACKSTOCK_LABELS_IN_FLIGHT", "8"),
        ("BACKSTOCK_EMAILS_IN_FLIGHT", "8"),
        ("BACKSTOCK_SALES_IN_FLIGHT", "8"),
        ("BACKSTOCK_RELAY_WINDOW", "16"),
    ];
    let (first, second) = tokio::join!(shop.worker(&settings), shop.worker(&settings));
    let fulfilled = "select count(*) from orders where status = 'fulfilled'";
    until("some orders are fulfilled", async || {
        shop.database.number(fulfilled).await > 10
    })
    .await;
    first.kill();
    until("more orders are fulfilled", async || {
        shop.database.number(fulfilled).await > 40
    })
    .await;
    second.kill();

    let _third = shop.worker(&settings).await;
    shop.until_all_handled(ORDERS).await;
    shop.assert_handled_once(ORDERS).await;
    // An email is sent twice if its worker died between the mail server's response and the mark. At most
    // those in flight.
    let twice = shop.simulators.mail_count().await - ORDERS as i64;
    assert!(
        (0..=2 * CONCURRENCY).contains(&twice),
        "{twice} emails were sent twice"
    );
    shop.close().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_within_its_batches_loses_and_duplicates_nothing() {
    const ORDERS: usize = 100;
    let shop = Shop::open().await;
    shop.paid_orders(ORDERS).await;
    let mut held = shop.database.pool.begin().await.unwrap();
    // The tables that the batches of counts and of labels write last.
    sqlx::query("lock table product_sales, shipments in exclusive mode")
        .execute(&mut *held)
        .await
        .unwrap();
    let killed = shop.worker(&[]).await;
    let waiting = "select count(*) from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'
                     and (query like '%into product_sales%' or query like '%into shipments%')";
    until_equal("both batches are in flight", 2, async || {
        shop.database.number(waiting).await
    })
    .await;
    killed.kill();
    // Postgres finishes each statement of the dead worker completely, or cancels it.
    held.commit().await.unwrap();
    let _next = shop.worker(&[]).await;
    shop.until_all_handled(ORDERS).await;
    shop.assert_handled_once(ORDERS).await;
    shop.close().await;
}

#[tokio::test]
async fn an_email_leased_to_a_dead_worker_is_sent_when_the_lease_expires() {
    let shop = Shop::open().await;
    let orders = shop.paid_orders(1).await;
    let claimed = format!(
        "insert into inbox (message_id, consumer, done_at, claimed_until)
         values ('{}', 'confirmation_email', null, 'infinity')",
        orders[0].message_id
    );
    shop.database.execute(&claimed).await;
    let worker = shop.worker(&[("BACKSTOCK_MAX_ATTEMPTS", "1")]).await;
    until("it finds the lease", async || {
        let busy = [EMAIL, r#"outcome="busy""#];
        worker.counter("messages_consumed_total", &busy).await > 0
    })
    .await;
    let ends = "update inbox set claimed_until = clock_timestamp() where done_at is null";
    assert_eq!(shop.database.execute(ends).await, 1);
    // Waiting for the lease to expire doesn't count as an attempt. With only one allowed, the message would
    // otherwise be a dead letter.
    shop.until_all_handled(1).await;
    shop.assert_handled_once(1).await;
    assert_eq!(shop.simulators.mail_count().await, 1);
    shop.close().await;
}

#[tokio::test]
async fn an_email_that_cannot_be_marked_as_sent_until_its_lease_expires_is_not_sent_again() {
    let shop = Shop::open().await;
    shop.paid_orders(1).await;
    shop.database
        .execute(
            "create function refuse() returns trigger language plpgsql as
             $$ begin raise exception 'nothing is written down now' using errcode = 'cannot_connect_now'; end $$;
             create trigger refuse before insert or update on inbox
             for each row when (new.done_at is not null and new.consumer = 'confirmation_email')
             execute function refuse()",
        )
        .await;
    let _worker = shop.worker(&[]).await;
    let ended = "select count(*) from inbox where claimed_until < clock_timestamp() - interval '2 seconds'";
    until_equal("the lease expired two seconds ago", 1, async || {
        shop.database.number(ended).await
    })
    .await;
    assert_eq!(shop.simulators.mail_count().await, 1);
    shop.database.execute("drop trigger refuse on inbox").await;
    shop.until_all_handled(1).await;
    shop.assert_handled_once(1).await;
    assert_eq!(shop.simulators.mail_count().await, 1);
    shop.close().await;
}

#[tokio::test]
async fn a_worker_that_failed_to_send_an_email_does_not_release_another_workers_lease() {
    let shop = Shop::open().await;
    shop.paid_orders(1).await;
    shop.simulators
        .set_faults(&shop.simulators.inbox, json!({ "failure_error": 1.0 }))
        .await;
    // Every new lease is immediately taken over by another worker, forever.
    shop.database
        .execute(
            "create function take_over() returns trigger language plpgsql as
             $$ begin update inbox set claimed_until = 'infinity' where done_at is null; return null; end $$;
             create trigger take_over after insert on inbox
             for each row when (new.claimed_until is not null) execute function take_over()",
        )
        .await;
    let worker = shop.worker(&[]).await;
    let outcome = async |outcome| {
        let labels = [EMAIL, outcome];
        worker.counter("messages_consumed_total", &labels).await
    };
    until("it finds the other worker's lease", async || {
        outcome(r#"outcome="busy""#).await > 0
    })
    .await;
    assert_eq!(outcome(r#"outcome="retried""#).await, 1);
    let claims = "select count(*) from inbox where claimed_until = 'infinity' and done_at is null";
    assert_eq!(shop.database.number(claims).await, 1);
    shop.close().await;
}

#[tokio::test]
async fn an_email_is_not_sent_when_its_lease_could_expire_meanwhile() {
    let shop = Shop::open().await;
    shop.paid_orders(1).await;
    // Postgres takes 2.5 s to respond. Too little of a lease of 4 s is left for a mail server that
    // may take 2 s.
    let sleep = "perform pg_sleep(2.5)";
    let dawdle = format!(
        "create function dawdle() returns trigger language plpgsql as $$ begin {sleep}; return null; end $$;
         create trigger dawdle after insert on inbox
         for each row when (new.claimed_until is not null) execute function dawdle()"
    );
    shop.database.execute(&dawdle).await;
    let _worker = shop.worker(&[("BACKSTOCK_MAX_ATTEMPTS", "1")]).await;
    let dead = Consumer::ConfirmationEmail.dead_letter_queue();
    until_equal("it has failed", Some(1), async || {
        shop.broker.ready_messages(&dead).await
    })
    .await;
    assert_eq!(shop.simulators.mail_count().await, 0);
    let letters = shop.dead_letters(&["list", "--json"]).await.json();
    assert!(
        letters[0]["reason"].as_str().unwrap().contains("lease"),
        "{letters}"
    );
    let claims = "select count(*) from inbox where done_at is null";
    assert_eq!(shop.database.number(claims).await, 0, "the lease is released");
    shop.close().await;
}
