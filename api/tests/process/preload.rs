//! In-process replicas of the catalogue are loaded before the first request, and metrics report their size.

use crate::support::database::{Content, Database};
use crate::support::process::{Process, get, settings};
use crate::support::until;

#[tokio::test]
async fn columns_and_titles_are_loaded_without_a_request() {
    let database = Database::new(Content::Catalogue).await;
    let shop = Process::serve(&settings(&database)).await;
    for gauge in [
        "backstock_catalog_columns_bytes",
        "backstock_catalog_titles_bytes",
    ] {
        until(gauge, async || {
            let metrics = get(shop.internal, "/metrics").await.unwrap().ok().text();
            let mut lines = metrics.lines();
            let bytes =
                lines.find_map(|line| line.strip_prefix(gauge)?.rsplit(' ').next()?.parse::<f64>().ok())?;
            // A minimum of 33 bytes for each of 420 products.
            (bytes > 420.0 * 33.0).then_some(())
        })
        .await;
    }
    let facets = shop.get("/v1/products/facets").await.ok();
    assert!(
        facets.statements() <= 1,
        "at most one statement, for the names of brands"
    );
}
