//! The selection: its setting, and where it is shown.

use techniques::{LESSONS, Selection};

use crate::process::settings::assert_rejected;
use crate::support::database::{Content, Database};
use crate::support::process::{Process, get, run, settings};
use crate::support::shop::TestShop;

#[tokio::test]
async fn an_invalid_selection_ends_it_with_the_valid_names() {
    assert_rejected(&[
        ("BACKSTOCK_VARIANTS", "fastest", "`optimized` and `baseline`"),
        (
            "BACKSTOCK_VARIANTS",
            "optimized,pages=cursor",
            "lessons are: indexes, pagination",
        ),
        (
            "BACKSTOCK_VARIANTS",
            "optimized,pagination=keyset",
            "its arms are:",
        ),
        (
            "BACKSTOCK_VARIANTS",
            "optimized,pagination",
            "for example `optimized,pagination=offset`",
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_invalid_selection_is_reported_together_with_other_settings() {
    let invalid = ["BACKSTOCK_LISTEN", "BACKSTOCK_VARIANTS"].map(|name| (name, "fastest".to_owned()));
    let output = run(&["serve"], &invalid).await;
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    for (name, _) in invalid {
        let named = format!("The setting is {name}, or --");
        assert_eq!(output.stderr.matches(&named).count(), 1, "{}", output.stderr);
    }
}

#[tokio::test]
async fn help_documents_the_selection() {
    let output = run(&["serve", "--help"], &[]).await;
    assert!(output.stdout.contains("BACKSTOCK_VARIANTS"), "{}", output.stdout);
}

#[tokio::test]
async fn only_the_internal_listener_shows_the_selection() {
    let database = Database::new(Content::Catalogue).await;
    let shop = Process::serve(&settings(&database)).await;
    let internal = async |path: &str| get(shop.internal, path).await.unwrap().ok();
    let selection = internal("/internal/variants").await.json();
    assert_eq!(selection["preset"], "optimized");
    assert_eq!(selection["lessons"]["pagination"], "cursor");
    assert_eq!(selection["lessons"].as_object().unwrap().len(), LESSONS.len());
    let metrics = internal("/metrics").await.text();
    let line = r#"backstock_variant_info{lesson="pagination",arm="cursor"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    shop.get("/internal/variants").await.problem(404, "not_found");
}

#[tokio::test]
async fn the_start_page_shows_the_arms() {
    let page = TestShop::read_only().await.get("/").await.ok().text();
    for (lesson, arm) in Selection::optimized().arms() {
        assert!(
            page.contains(&format!("<td>{lesson}</td><td><code>{arm}</code></td>")),
            "{lesson}"
        );
    }
}
