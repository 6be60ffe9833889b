//! Comparisons in which customers sign in and buy: each arm's customers bring its own tokens, each order is placed once,
//! and the books add up afterwards.

// Without baselines there is nothing to compare.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use child_process::sibling_program;
use local_services::{Purpose, Services};
use serde_json::Value;

/// The report on two lessons at the smallest scale. What it says of time means nothing in a debug build.
fn report() -> Value {
    let services = Services::start(Purpose::Tests).unwrap();
    let lab = env!("CARGO_BIN_EXE_backstock-lab");
    let api = sibling_program(lab, "api", "backstock-api");
    sibling_program(lab, "simulators", "backstock-simulators");
    let folder = std::env::temp_dir().join(format!("backstock-compare-customers-{}", std::process::id()));
    let output = Command::new(lab)
        .args([
            "compare",
            "--scale",
            "xs",
            "--lesson",
            "sessions",
            "--lesson",
            "order_lines",
        ])
        .arg("--output")
        .arg(&folder)
        .arg("--api-binary")
        .arg(&api)
        .env("BACKSTOCK_DATABASE_URL", services.database_url("postgres"))
        .env("BACKSTOCK_REDIS_URL", services.redis_url(0))
        .env("BACKSTOCK_AMQP_URL", services.amqp_url("/"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report = std::fs::read_to_string(folder.join("report.json")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    serde_json::from_str(&report).unwrap()
}

/// A counted cost of an arm under a scenario.
fn cost(scenario: &Value, arm: &str, name: &str) -> f64 {
    let arms = scenario["arms"].as_array().unwrap();
    let found = arms.iter().find(|found| found["name"] == arm).unwrap();
    found["cost"][name].as_f64().unwrap()
}

#[test]
fn customers_are_signed_in_at_each_arm_and_orders_are_placed_once() {
    let report = report();
    let lessons = report["lessons"].as_array().unwrap();
    for lesson in lessons {
        assert!(lesson["failed"].is_null(), "{}", lesson["failed"]);
        assert_eq!(lesson["signature"]["holds"], true, "{}", lesson["signature"]);
        assert!(lesson["same_answers"]["compared"].as_u64().unwrap() > 0);
        for arm in lesson["scenarios"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|scenario| scenario["arms"].as_array().unwrap())
        {
            // Tokens are good, keys and carts are new, nothing is out of stock.
            assert!(arm["errors"].is_null() || arm["errors"] == 0, "{arm}");
        }
    }
    let (sessions, order_lines) = (&lessons[0], &lessons[1]);

    let headline = &sessions["scenarios"][0];
    let more = cost(headline, "table", "queries_per_request") - cost(headline, "jwt", "queries_per_request");
    assert!((more - 1.0).abs() < 0.05, "{more}");
    assert!(cost(headline, "jwt", "request_bytes") > cost(headline, "table", "request_bytes"));
    let notes = sessions["notes"].as_array().unwrap();
    let signed_out = "table answers 401, redis answers 401, jwt answers 200";
    assert!(
        notes
            .iter()
            .any(|note| note.as_str().unwrap().contains(signed_out)),
        "{notes:?}"
    );
    let far = sessions["scenarios"].as_array().unwrap().last().unwrap();
    assert_eq!(far["skipped"], "it is measured with `--full`");

    let inserts = |arm: usize| {
        let statements = order_lines["scenarios"][1]["arms"][arm]["statements"]
            .as_array()
            .unwrap();
        let of_lines = statements.iter().filter(|statement| {
            statement["text"]
                .as_str()
                .unwrap()
                .contains("insert into order_lines")
        });
        of_lines
            .map(|statement| statement["calls_per_request"].as_f64().unwrap())
            .sum::<f64>()
    };
    assert_eq!((inserts(0), inserts(1)), (20.0, 1.0));
}
