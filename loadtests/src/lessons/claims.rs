//! Claims beside measurements, and when one counts as confirmed.
//!
//! A claim is a factor, before divided by after. It is
//!
//! * **confirmed** when the interval of what was measured reaches half of the claimed gain: (measured − 1) ≥
//!   (claimed − 1) / 2 at its better end. Half, since machines and data differ; of the gain and not of the factor,
//!   since a claim of 1.25 would else be confirmed by a loss. And the interval must lie above 1: one so wide that it
//!   holds a loss as well confirms nothing;
//! * **misleading** when it fails its own arithmetic, or when it is not confirmed in the lesson's headline scenario
//!   but in another one, that is, only under conditions that it does not state;
//! * **not here** otherwise.

use crate::report::{Claim, ClaimCheck, ClaimVerdict, Metric, Ratio, ScenarioReport};

/// A claim, and where to look for it.
#[derive(Debug, Clone, Copy)]
pub struct ClaimSpec {
    /// In our words.
    pub text: &'static str,
    /// Before divided by after.
    pub ratio: f64,
    /// The start of the scenario's name; of several, the first counts, the others are "other conditions".
    pub scenario: &'static str,
    /// The metric that the claim is about.
    pub metric: Metric,
    /// The arm whose ratio to the baseline is looked at.
    pub arm: &'static str,
    /// Which way round.
    pub direction: Direction,
    /// What the claim gets wrong by its own numbers, if anything.
    pub own_arithmetic: Option<&'static str>,
}

/// Which way round a ratio answers a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The arm is the "after".
    ArmIsAfter,
    /// The arm is the "before", the baseline the "after".
    ArmIsBefore,
    /// The arm is the "after", and this arm, also compared with the baseline, the "before".
    After(&'static str),
}

/// Puts a claim beside what was measured.
pub fn check(spec: &ClaimSpec, scenarios: &[ScenarioReport]) -> ClaimCheck {
    let claim = Claim {
        text: spec.text.to_owned(),
        ratio: spec.ratio,
    };
    let candidates = scenarios
        .iter()
        .filter(|scenario| scenario.name.starts_with(spec.scenario));
    let mut measured = candidates.filter_map(|scenario| Some((scenario, measure(spec, scenario)?)));
    let Some((scenario, found)) = measured.next() else {
        return ClaimCheck {
            claim,
            measured: None,
            measured_as: String::new(),
            verdict: None,
            reason: "It was not measured in this run.".into(),
        };
    };
    let elsewhere = measured.chain(
        scenarios
            .iter()
            .filter(|scenario| !scenario.name.starts_with(spec.scenario))
            .filter_map(|scenario| Some((scenario, measure(spec, scenario)?))),
    );
    let (verdict, reason) = judge(spec, found, elsewhere);
    ClaimCheck {
        claim,
        measured: Some(found),
        measured_as: format!("{}, {}, {}", scenario.name, spec.metric.label(), who(spec)),
        verdict: Some(verdict),
        reason,
    }
}

fn who(spec: &ClaimSpec) -> String {
    match spec.direction {
        Direction::ArmIsAfter => format!("baseline → {}", spec.arm),
        Direction::ArmIsBefore => format!("{} → baseline", spec.arm),
        Direction::After(before) => format!("{before} → {}", spec.arm),
    }
}

fn judge<'a>(
    spec: &ClaimSpec,
    found: [f64; 3],
    elsewhere: impl Iterator<Item = (&'a ScenarioReport, [f64; 3])>,
) -> (ClaimVerdict, String) {
    let needed = 1.0 + (spec.ratio - 1.0) / 2.0;
    let reaches = |measured: [f64; 3]| measured[2] >= needed && measured[1] > 1.0;
    if let Some(fault) = spec.own_arithmetic {
        return (ClaimVerdict::Misleading, fault.to_owned());
    }
    if reaches(found) {
        let more = if found[1] > spec.ratio {
            " More was measured than is claimed."
        } else {
            ""
        };
        return (
            ClaimVerdict::Confirmed,
            format!("At least half of the claimed gain was measured.{more}"),
        );
    }
    if let Some((scenario, measured)) = elsewhere.into_iter().find(|(_, measured)| reaches(*measured)) {
        let reason = format!(
            "It is reached only under a condition that the claim does not state: × {:.1} in `{}`.",
            measured[0], scenario.name
        );
        return (ClaimVerdict::Misleading, reason);
    }
    let reason = if found[1] <= 1.0 && found[2] >= 1.0 {
        "What was measured cannot be told from no difference.".to_owned()
    } else {
        format!("Less than half of the claimed gain was measured (that would be × {needed:.2}).")
    };
    (ClaimVerdict::NotHere, reason)
}

fn measure(spec: &ClaimSpec, scenario: &ScenarioReport) -> Option<[f64; 3]> {
    let of = |arm: &str| {
        scenario
            .ratios
            .iter()
            .find(|ratio| ratio.metric == spec.metric && ratio.arm == arm)
    };
    let straight = |ratio: &Ratio| [ratio.value, ratio.ci95[0], ratio.ci95[1]];
    let inverted = |ratio: &Ratio| [1.0 / ratio.value, 1.0 / ratio.ci95[1], 1.0 / ratio.ci95[0]];
    let arm = of(spec.arm)?;
    match spec.direction {
        Direction::ArmIsAfter => Some(straight(arm)),
        Direction::ArmIsBefore => Some(inverted(arm)),
        Direction::After(before) => {
            let (after, before) = (straight(arm), inverted(of(before)?));
            // The ends multiply: the interval of a product is at most as wide.
            Some([after[0] * before[0], after[1] * before[1], after[2] * before[2]])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Shows, Verdict};

    fn scenario(name: &str, arm: &str, value: f64, ci95: [f64; 2]) -> ScenarioReport {
        ScenarioReport {
            name: name.into(),
            parameters: Default::default(),
            shows: Shows::Gain,
            arms: Vec::new(),
            ratios: vec![Ratio {
                metric: Metric::LatencyP50,
                arm: arm.into(),
                against: "before".into(),
                value,
                ci95,
                verdict: Verdict::Better,
                exact: false,
                blocks: Vec::new(),
            }],
            skipped: None,
        }
    }

    const SPEC: ClaimSpec = ClaimSpec {
        text: "a claim",
        ratio: 13.0,
        scenario: "near",
        metric: Metric::LatencyP50,
        arm: "after",
        direction: Direction::ArmIsAfter,
        own_arithmetic: None,
    };

    fn verdict(spec: &ClaimSpec, scenarios: &[ScenarioReport]) -> Option<ClaimVerdict> {
        check(spec, scenarios).verdict
    }

    #[test]
    fn half_of_the_gain_at_the_better_end_confirms() {
        let reached = scenario("near", "after", 6.5, [6.0, 7.0]);
        assert_eq!(verdict(&SPEC, &[reached]), Some(ClaimVerdict::Confirmed));
        let missed = scenario("near", "after", 6.5, [6.0, 6.9]);
        assert_eq!(verdict(&SPEC, &[missed]), Some(ClaimVerdict::NotHere));
        let anything = scenario("near", "after", 3.0, [0.9, 10.0]);
        assert_eq!(verdict(&SPEC, &[anything]), Some(ClaimVerdict::NotHere));
    }

    #[test]
    fn a_claim_that_holds_only_elsewhere_misleads() {
        let scenarios = [
            scenario("near", "after", 2.0, [1.9, 2.1]),
            scenario("far", "after", 12.0, [11.0, 13.0]),
        ];
        assert_eq!(verdict(&SPEC, &scenarios), Some(ClaimVerdict::Misleading));
        let impossible = ClaimSpec {
            own_arithmetic: Some("twice at most"),
            ..SPEC
        };
        assert_eq!(verdict(&impossible, &scenarios[1..]), None);
        assert_eq!(verdict(&impossible, &scenarios), Some(ClaimVerdict::Misleading));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert_eq!(verdict(&SPEC, &[]), None);
    }

    #[test]
    fn a_ratio_is_turned_round_with_its_interval() {
        let spec = ClaimSpec {
            direction: Direction::ArmIsBefore,
            ..SPEC
        };
        let measured = check(&spec, &[scenario("near", "after", 0.05, [0.04, 0.1])])
            .measured
            .unwrap();
        assert!((measured[0] - 20.0).abs() < 1e-9 && (measured[1] - 10.0).abs() < 1e-9);
        assert!((measured[2] - 25.0).abs() < 1e-9);
    }
}
