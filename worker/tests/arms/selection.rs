//! The selection: its setting, and where it is shown.

use crate::process::{run_to_exit, worker_without_stores};
use crate::support::Shop;

#[tokio::test]
async fn the_internal_listener_shows_the_selection() {
    let shop = Shop::open().await;
    let worker = shop.worker(&[]).await;
    let (_, selection) = worker.get("/internal/variants").await;
    assert!(selection.contains(r#""preset":"optimized""#), "{selection}");
    let (_, metrics) = worker.get("/metrics").await;
    assert!(metrics.contains("backstock_variant_info"), "{metrics}");
    shop.close().await;
}

#[tokio::test]
async fn an_invalid_selection_is_reported_with_the_presets_and_other_invalid_settings() {
    let mut command = worker_without_stores();
    command
        .env("BACKSTOCK_VARIANTS", "fastest")
        .env("BACKSTOCK_PARTS", "everything");
    let (code, stderr) = run_to_exit(command).await;
    assert_eq!(code, Some(2), "{stderr}");
    for part in [
        "BACKSTOCK_VARIANTS",
        "`optimized` and `baseline`",
        "BACKSTOCK_PARTS",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}
