//! `backstock-api health`: the check of an image that has no shell.

use storefront::variants::Variants;

use crate::support::database::{Content, Database};
use crate::support::process::{Process, run, settings};

#[tokio::test]
async fn it_says_in_a_line_whether_the_process_beside_it_is_ready() {
    let database = Database::new(Content::Schema, Variants::optimized().indexes).await;
    let shop = Process::serve(&settings(&database)).await;
    // As in a container, where it listens on all addresses.
    let listen = format!("0.0.0.0:{}", shop.internal.port());
    let listen = [("BACKSTOCK_INTERNAL_LISTEN", listen)];
    let healthy = run(&["health"], &listen).await;
    assert_eq!(healthy.code, Some(0), "{}", healthy.stderr);
    assert!(
        healthy.stdout.contains("\"postgres\":\"up\"") && healthy.stdout.lines().count() == 1,
        "{}",
        healthy.stdout
    );
    drop(shop);
    let gone = run(&["health"], &listen).await;
    assert_eq!(gone.code, Some(1), "{}", gone.stdout);
    assert!(
        gone.stderr.contains("BACKSTOCK_INTERNAL_LISTEN") && gone.stderr.lines().count() == 1,
        "{}",
        gone.stderr
    );
}
