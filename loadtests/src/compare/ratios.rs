//! From blocks to ratios with verdicts.

use super::blocks::Measured;
use super::plan::BLOCKS;
use crate::report::{Metric, NoiseFloor, Ratio, Verdict};
use crate::statistics::{self, Estimate, holm, ratio_of_blocks};

/// A ratio whose verdict waits for the other metrics of its lesson.
pub struct Pending {
    /// The scenario's position.
    pub scenario: usize,
    /// The metric.
    pub metric: Metric,
    /// The arm.
    pub arm: String,
    /// What it is compared with.
    pub against: String,
    /// The estimate.
    pub estimate: Estimate,
    /// The blocks' ratios.
    pub blocks: Vec<f64>,
}

/// Metrics that slices of an open loop give.
pub const LATENCY_METRICS: [Metric; 6] = [
    Metric::LatencyP50,
    Metric::LatencyP95,
    Metric::LatencyP99,
    Metric::CpuTotal,
    Metric::CpuApi,
    Metric::CpuPostgres,
];

/// What a side did, by metric. Percentiles of a block need fewer samples than those that are printed: a block's value
/// is one of many that are averaged.
pub fn value(metric: Metric, side: &Measured) -> Option<f64> {
    let percentile = |quantile, needed| crate::load::percentile_ms(&side.outcome.total, quantile, needed);
    match metric {
        Metric::LatencyP50 => percentile(0.50, 1),
        Metric::LatencyP95 => percentile(0.95, 100),
        Metric::LatencyP99 => percentile(0.99, 1_000),
        Metric::CpuTotal => side.cpu.total(),
        Metric::CpuApi => side.cpu.api,
        Metric::CpuPostgres => side.cpu.postgres,
        Metric::Throughput => Some(side.outcome.throughput()),
        _ => None,
    }
}

/// The ratio of a metric over blocks of (baseline, arm). `None` unless every block has a value: blocks that lack one
/// lack it for a reason, such as a slow slice with few answers, so the others are no fair sample.
pub fn estimate(metric: Metric, blocks: &[(Measured, Measured)]) -> Option<(Estimate, Vec<f64>)> {
    let pairs: Option<Vec<(f64, f64)>> = blocks
        .iter()
        .map(|(baseline, arm)| Some((value(metric, baseline)?, value(metric, arm)?)))
        .collect();
    estimate_pairs(metric, &pairs?)
}

/// The same over pairs of values. `None` for fewer than the blocks that a plan has.
pub fn estimate_pairs(metric: Metric, pairs: &[(f64, f64)]) -> Option<(Estimate, Vec<f64>)> {
    if pairs.len() < BLOCKS {
        return None;
    }
    let better_above_one: Vec<(f64, f64)> = pairs
        .iter()
        .map(|(baseline, arm)| {
            if metric.more_is_better() {
                (*arm, *baseline)
            } else {
                (*baseline, *arm)
            }
        })
        .collect();
    let ratios = better_above_one
        .iter()
        .map(|(above, below)| above / below)
        .collect();
    Some((ratio_of_blocks(&better_above_one)?, ratios))
}

/// A counted ratio: it has no spread, and differs or doesn't.
pub fn exact(metric: Metric, arm: &str, against: &str, values: (Option<f64>, Option<f64>)) -> Option<Ratio> {
    let (baseline, measured) = (values.0?, values.1?);
    if baseline <= 0.0 || measured <= 0.0 {
        return None;
    }
    let value = metric.improvement(baseline, measured);
    // Counting catches a statement of upkeep now and then: a hundredth is no difference.
    let verdict = match value {
        value if value > 1.01 => Verdict::Better,
        value if value < 0.99 => Verdict::Worse,
        _ => Verdict::NoMeasurableDifference,
    };
    Some(Ratio {
        metric,
        arm: arm.to_owned(),
        against: against.to_owned(),
        value,
        ci95: [value, value],
        verdict,
        exact: true,
        blocks: Vec::new(),
    })
}

/// How far a capacity may be off on either side: the search ends with a bracket of ±10 %.
const CAPACITY_IS_WITHIN: f64 = 1.1;

/// The ratio of two capacities. Each is one search and not a sample: the interval is what two brackets allow at worst,
/// and an effect within it is no measurable difference.
pub fn of_capacities(arm: &str, against: &str, values: (Option<f64>, Option<f64>)) -> Option<Ratio> {
    let mut ratio = exact(Metric::Capacity, arm, against, values)?;
    let factor = CAPACITY_IS_WITHIN * CAPACITY_IS_WITHIN;
    let (low, high) = (ratio.value / factor, ratio.value * factor);
    ratio.exact = false;
    ratio.ci95 = [low, high];
    ratio.verdict = if low > 1.0 {
        Verdict::Better
    } else if high < 1.0 {
        Verdict::Worse
    } else {
        Verdict::NoMeasurableDifference
    };
    Some(ratio)
}

/// Decides all ratios of a lesson at once: Holm's correction over them, then the noise floor of each metric.
pub fn decide(pending: Vec<Pending>, floors: &[NoiseFloor]) -> Vec<(usize, Ratio)> {
    let p: Vec<f64> = pending.iter().map(|ratio| ratio.estimate.p).collect();
    let adjusted = holm(&p);
    let decided = |(ratio, p): (Pending, f64)| {
        let verdict = statistics::verdict(&ratio.estimate, p, &floor_of(ratio.metric, floors));
        let (low, high) = ratio.estimate.ci95;
        (
            ratio.scenario,
            Ratio {
                metric: ratio.metric,
                arm: ratio.arm,
                against: ratio.against,
                value: ratio.estimate.value,
                ci95: [low, high],
                verdict: match verdict {
                    statistics::Verdict::Better => Verdict::Better,
                    statistics::Verdict::Worse => Verdict::Worse,
                    statistics::Verdict::NoMeasurableDifference => Verdict::NoMeasurableDifference,
                },
                exact: false,
                blocks: ratio.blocks,
            },
        )
    };
    pending.into_iter().zip(adjusted).map(decided).collect()
}

/// The floor of a metric; of one that has none of its own, the widest that was measured.
fn floor_of(metric: Metric, floors: &[NoiseFloor]) -> Estimate {
    let width = |floor: &NoiseFloor| floor.ci95[0].ln().abs().max(floor.ci95[1].ln().abs());
    let own = floors.iter().find(|floor| floor.metric == metric);
    let floor = own.or_else(|| floors.iter().max_by(|a, b| width(a).total_cmp(&width(b))));
    floor.map_or(
        Estimate {
            value: 1.0,
            ci95: (1.0, 1.0),
            p: 1.0,
        },
        |floor| Estimate {
            value: floor.ratio,
            ci95: (floor.ci95[0], floor.ci95[1]),
            p: 1.0,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(metric: Metric, pairs: &[(f64, f64)]) -> Pending {
        let (estimate, blocks) = estimate_pairs(metric, pairs).unwrap();
        Pending {
            scenario: 0,
            metric,
            arm: "after".into(),
            against: "before".into(),
            estimate,
            blocks,
        }
    }

    fn floor(metric: Metric, ci95: [f64; 2]) -> NoiseFloor {
        NoiseFloor {
            metric,
            ratio: 1.0,
            ci95,
            lesson: String::new(),
            blocks: Vec::new(),
        }
    }

    #[test]
    fn above_one_is_better_whatever_the_metric() {
        let latency = [(10.0, 5.0), (10.2, 5.1), (9.8, 4.8), (10.1, 5.2)].repeat(2);
        let throughput = [(100.0, 200.0), (101.0, 199.0), (99.0, 203.0), (100.0, 201.0)].repeat(2);
        let floors = [
            floor(Metric::LatencyP50, [0.97, 1.03]),
            floor(Metric::Throughput, [0.98, 1.02]),
        ];
        let decided = decide(
            vec![
                pending(Metric::LatencyP50, &latency),
                pending(Metric::Throughput, &throughput),
            ],
            &floors,
        );
        for (_, ratio) in decided {
            assert!((1.9..2.1).contains(&ratio.value), "{:?}", ratio.metric);
            assert_eq!(ratio.verdict, Verdict::Better, "{:?}", ratio.metric);
        }
    }

    #[test]
    fn an_effect_within_the_noise_floor_is_no_difference() {
        let slightly = [(10.0, 9.6), (10.0, 9.7), (10.0, 9.6), (10.0, 9.65)].repeat(2);
        let decided = |ci95| {
            let ratio = pending(Metric::LatencyP50, &slightly);
            decide(vec![ratio], &[floor(Metric::LatencyP50, ci95)])
                .remove(0)
                .1
                .verdict
        };
        assert_eq!(decided([0.99, 1.01]), Verdict::Better);
        assert_eq!(decided([0.9, 1.05]), Verdict::NoMeasurableDifference);
    }

    #[test]
    fn a_metric_without_a_floor_gets_the_widest() {
        let floors = [
            floor(Metric::CpuApi, [0.99, 1.01]),
            floor(Metric::LatencyP50, [0.8, 1.1]),
        ];
        assert_eq!(floor_of(Metric::Capacity, &floors).ci95, (0.8, 1.1));
    }

    #[test]
    fn a_block_without_a_value_leaves_no_ratio() {
        let pairs = [(10.0, 5.0), (10.2, 5.1)].repeat(4);
        assert!(estimate_pairs(Metric::LatencyP50, &pairs).is_some());
        assert!(estimate_pairs(Metric::LatencyP50, &pairs[1..]).is_none());
        let with_a_gap = [&pairs[1..], &[(0.0, 5.0)]].concat();
        assert!(estimate_pairs(Metric::LatencyP50, &with_a_gap).is_none());
    }

    #[test]
    fn capacities_differ_beyond_what_their_searches_leave_open() {
        let found = |arm| of_capacities("after", "before", (Some(1_000.0), Some(arm))).unwrap();
        assert_eq!(found(1_200.0).verdict, Verdict::NoMeasurableDifference);
        assert_eq!(found(1_220.0).verdict, Verdict::Better);
        assert_eq!(found(830.0).verdict, Verdict::NoMeasurableDifference);
        assert_eq!(found(820.0).verdict, Verdict::Worse);
        assert!(!found(2_000.0).exact);
    }

    #[test]
    fn counted_values_differ_or_do_not() {
        let verdict = |after| {
            exact(Metric::Queries, "after", "before", (Some(41.0), Some(after)))
                .unwrap()
                .verdict
        };
        assert_eq!(verdict(2.0), Verdict::Better);
        assert_eq!(verdict(41.02), Verdict::NoMeasurableDifference);
        assert_eq!(verdict(60.0), Verdict::Worse);
        assert!(exact(Metric::Queries, "after", "before", (Some(1.0), Some(0.0))).is_none());
        assert!(exact(Metric::Queries, "after", "before", (None, Some(1.0))).is_none());
    }
}
