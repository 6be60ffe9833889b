//! `sales_counts`: orders that count what they sell themselves, in the product's row or in a narrow one. The counts are made
//! in the request (`checkout=inline`), so that what a count costs is part of an order's exact costs; a worker refreshes
//! the ranks beside, and its work is charged to the orders.

use std::time::Duration;

use techniques::Lesson;

use super::observation::{Observation, Observations, require};
use super::{Course, Explanation, Facts, LimitKind, Plan, Requests, Scenario, Trial, arms_of};
use crate::report::{ArmReport, ScenarioReport, format};
use crate::trials::ThirdParties;

const HOT: &str = "one product that all buy";
const SPREAD: &str = "many products, each seldom bought";

/// Between two refreshes of the ranks, as short as anybody may want it.
const REFRESH_MS: &str = "1000";

/// What tells the arms apart.
const WIDE: &str = "update products set sales_count";
const NARROW: &str = "insert into product_sales";

/// Bytes of write-ahead log that the product's row and its index entries are at least: far below what they are.
const WIDE_ROW_BYTES: f64 = 1000.0;

pub(super) fn plan(lesson: &'static Lesson) -> Plan {
    Plan {
        lesson,
        is_core: false,
        arms: arms_of(lesson),
        scenarios,
        expected: "per_order: `update products set sales_count` in the request; batched: `insert into product_sales` instead, and \
                   at least a kilobyte less of write-ahead log an order",
        signature,
        observed: |seen| {
            format!(
                "{}, {} bytes of write-ahead log an order",
                if seen.any_statement_has(WIDE) {
                    WIDE
                } else {
                    NARROW
                },
                format::number(wal_bytes(seen))
            )
        },
        claims: &[],
        files: &[
            ("per_order", "worker/src/consumers/sales_counts/per_order.rs"),
            ("batched", "worker/src/consumers/sales_counts/batched.rs"),
        ],
        explain,
        exhibits: |_| Vec::new(),
        limit: LimitKind::None,
        environment: &[("BACKSTOCK_SALES_REFRESH_INTERVAL_MS", REFRESH_MS)],
        answers_note: None,
    }
}

fn scenarios(_facts: &Facts) -> Vec<Scenario> {
    let of = |name, variants| {
        let trial = Trial {
            third_parties: ThirdParties::AT_ONCE,
            variants,
            worker: "relay,upkeep",
            course: Course::Buyers {
                clients: 8,
                slice: Duration::from_millis(160),
            },
        };
        Scenario::of(name, Vec::new())
            .with("refresh_ms", REFRESH_MS)
            .asking(Requests::Trial(trial))
    };
    vec![of(HOT, 1), of(SPREAD, 2000).showing_a_loss()]
}

fn wal_bytes(seen: &Observation) -> f64 {
    seen.cost.wal_bytes.unwrap_or(0.0)
}

fn signature(seen: &Observations) -> Result<(), String> {
    let (per_order, batched) = (seen.of(HOT, "per_order")?, seen.of(HOT, "batched")?);
    for (arm, seen, writes, leaves) in [
        ("per_order", per_order, WIDE, NARROW),
        ("batched", batched, NARROW, WIDE),
    ] {
        require(seen.any_statement_has(writes), || format!("{arm}: no `{writes}`"))?;
        require(!seen.any_statement_has(leaves), || {
            format!("{arm}: `{leaves}` as well")
        })?;
    }
    let (wide, narrow) = (wal_bytes(per_order), wal_bytes(batched));
    require(wide > narrow + WIDE_ROW_BYTES, || {
        format!(
            "per_order writes {} bytes of log an order, batched {}",
            format::number(wide),
            format::number(narrow)
        )
    })
}

fn explain(scenarios: &[ScenarioReport], _facts: &Facts) -> Explanation {
    let of = |name: &str, say: fn(&ArmReport) -> Option<f64>| {
        let scenario = scenarios.iter().find(|scenario| scenario.name == name);
        let arms = scenario.into_iter().flat_map(|scenario| &scenario.arms);
        arms.map(|arm| format!("{} {}", arm.name, format::measured(say(arm))))
            .collect::<Vec<_>>()
            .join(", ")
    };
    Explanation {
        why: format!(
            "The count is in two indexes, so Postgres can't update it in place: it writes a new version of the product's whole row, and an \
             entry in each of its indexes. Bytes of write-ahead log an order: {}. The narrow row has one index, which an update \
             doesn't touch.",
            of(HOT, |arm| arm.cost.wal_bytes)
        ),
        notes: vec![
            format!(
                "Medians in ms, 8 buyers of one product at a time: {}. With many products that are bought seldom, the job writes \
                 for each what the plain update would have, and the narrow row came besides: CPU of all processes an order, in \
                 µs: {}.",
                of(HOT, |arm| arm.latency_ms.p50),
                of(SPREAD, |arm| arm.cpu_us_per_request.total())
            ),
            format!(
                "What batched loses in any case: a rank is as old as the interval of the job, here {REFRESH_MS} ms and ten \
                 seconds by default."
            ),
        ],
    }
}
