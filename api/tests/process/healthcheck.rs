//! `backstock-api health`: the health check for images without a shell.

use crate::support::database::{Content, Database};
use crate::support::process::{Process, run, settings};

#[tokio::test]
async fn it_reports_in_one_line_whether_the_local_process_is_ready() {
    let database = Database::new(Content::Schema).await;
    let shop = Process::serve(&settings(&database)).await;
    // In a container, the process listens on all addresses.
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
    let unreachable = run(&["health"], &listen).await;
    assert_eq!(unreachable.code, Some(1), "{}", unreachable.stdout);
    assert!(
        unreachable.stderr.contains("BACKSTOCK_INTERNAL_LISTEN") && unreachable.stderr.lines().count() == 1,
        "{}",
        unreachable.stderr
    );
}
