//! The table of two shops, asked of two shops that run.

// Without baselines there is nothing to put beside.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod town_support;

use std::process::Command;

use town_support::{services, town};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_has_five_routes_of_both_shops_and_tells_them_apart() {
    let services = services().await;
    let baseline = town(&services, 22, "baseline,indexes=chosen", &[]).await;
    let optimized = town(&services, 23, "optimized", &[]).await;
    let url = |address| format!("http://{address}");
    let output = Command::new(env!("CARGO_BIN_EXE_backstock-lab"))
        .args(["side-by-side", "--next", "do this"])
        .args(["--left", &url(baseline.shop().address())])
        .args(["--right", &url(optimized.shop().address())])
        .output()
        .unwrap();
    let (said, wrong) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{wrong}");
    let rows: Vec<Vec<&str>> = said
        .lines()
        .filter(|line| line.trim_end().ends_with('×'))
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(rows.len(), 5, "{said}");
    let number = |row: usize, column: usize| rows[row][column].parse::<u32>().unwrap();
    // N+1 against an answer that is in the cache, and uncompressed against compressed.
    assert!(number(0, 1) > 20 && number(0, 2) == 0, "{said}");
    assert!(number(0, 3) > 2 * number(0, 4), "{said}");
    // Orders are in no cache: their lines in one statement or in one each.
    assert!(number(4, 1) > 10 && (1..5).contains(&number(4, 2)), "{said}");
    assert!(said.ends_with("Try next:\n  do this\n"), "{said}");
    baseline.stop().await.unwrap();
    optimized.stop().await.unwrap();
}

#[test]
fn a_shop_that_is_not_there_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_backstock-lab"))
        .args(["side-by-side", "--left", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("127.0.0.1:1"), "{said}");
}
