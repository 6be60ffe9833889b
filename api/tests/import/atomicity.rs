//! An import is atomic: any failure half-way rolls it back.

use std::fmt::Write as _;
use std::time::Duration;

use api::import::{self, ImportError};
use sqlx::Connection;

use super::shop::{LENIENT, Shop, execute};
use crate::support::database::WAITING_FOR_LOCK;

/// More products than one batch, so that earlier batches were written before the failure.
const PRODUCTS: u32 = 1200;

fn large_export() -> String {
    let mut csv = "Handle,Title,Vendor,Type,Variant Price,Image Src\n".to_owned();
    for number in 1..=PRODUCTS {
        let (vendor, image) = (number % 7, "https://cdn.example.com/a.jpg");
        writeln!(
            csv,
            "p-{number},Product {number},Brand {vendor},Things,{number},{image}"
        )
        .unwrap();
    }
    csv
}

/// Runs `statement` when the variant of the last product is written.
async fn fail_near_the_end(shop: &Shop, statement: &str) {
    shop.execute(&format!(
        "create function break_it() returns trigger language plpgsql as $$ begin {statement}; return new; end $$;
         create trigger break_it before insert on variants for each row
         when (new.sku = 'p-{PRODUCTS}-1') execute function break_it()"
    ))
    .await;
}

#[tokio::test]
async fn a_failure_near_the_end_is_rolled_back_and_the_next_import_succeeds() {
    let shop = Shop::open().await;
    let before = shop.snapshot().await;
    fail_near_the_end(&shop, "raise exception 'disk full'").await;
    let error = shop.try_import(&large_export(), &LENIENT).await.unwrap_err();
    assert!(matches!(error, ImportError::Database(_)), "{error:?}");
    assert_eq!(error.to_string(), "the database failed; nothing was imported");
    assert_eq!(shop.snapshot().await, before);

    shop.execute("drop trigger break_it on variants").await;
    let report = shop.import(&large_export()).await;
    assert_eq!(report.products_created, u64::from(PRODUCTS));
}

#[tokio::test]
async fn a_lost_connection_near_the_end_is_rolled_back() {
    let shop = Shop::open().await;
    let before = shop.snapshot().await;
    fail_near_the_end(&shop, "perform pg_terminate_backend(pg_backend_pid())").await;
    let error = shop.try_import(&large_export(), &LENIENT).await.unwrap_err();
    assert!(matches!(error, ImportError::Database(_)), "{error:?}");
    assert_eq!(shop.snapshot().await, before);
}

#[tokio::test]
async fn a_failed_update_leaves_the_earlier_import_unchanged() {
    let shop = Shop::open().await;
    shop.import(&large_export()).await;
    let before = shop.snapshot().await;
    fail_near_the_end(&shop, "raise exception 'disk full'").await;
    shop.try_import(&large_export().replace("Product", "Thing"), &LENIENT)
        .await
        .unwrap_err();
    assert_eq!(shop.snapshot().await, before);
}

#[tokio::test]
async fn an_import_whose_process_is_killed_is_rolled_back() {
    let shop = Shop::open().await;
    let before = shop.snapshot().await;
    // The import reaches the images of its first batch, and waits there for this lock.
    let mut blocker = shop.pool.acquire().await.unwrap();
    let mut blocking = blocker.begin().await.unwrap();
    execute(&mut blocking, "lock table images in exclusive mode").await;
    let pool = shop.pool.clone();
    let import = tokio::spawn(async move {
        let mut connection = pool.acquire().await.unwrap().detach();
        import::import_reader(&mut connection, large_export().as_bytes(), &LENIENT).await
    });
    until(&shop, WAITING_FOR_LOCK, 1).await;
    // Aborting the task closes its connection, as killing the process does.
    import.abort();
    assert!(import.await.unwrap_err().is_cancelled());
    blocking.rollback().await.unwrap();
    let importing = "select count(*) from pg_locks
                     where locktype = 'advisory' and database = (
                         select oid from pg_database where datname = current_database()
                     )";
    until(&shop, importing, 0).await;
    assert_eq!(shop.snapshot().await, before);
}

/// Polls until the count has this value, for at most ten seconds.
async fn until(shop: &Shop, sql: &str, count: u64) {
    for _ in 0..1000 {
        if shop.json(sql).await == count {
            return;
        }
        // Only an interval: the loop waits for the event, and fails without it.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never reached {count}: {sql}");
}
