//! What an arm does wrong where another does not: some lessons are about that more than about time.

use serde_json::Value;

use super::format;
use crate::report::ScenarioReport;

/// Outcomes of trials that are faults, in words.
const FAULTS: [(&str, &str); 2] = [("oversold", "units oversold"), ("lost", "events lost")];

/// `units oversold 400 → 0, one SKU with fewer units than buyers`: of the first scenario in which the baseline has a
/// fault. Empty where it has none.
pub fn wrong(scenarios: &[ScenarioReport], baseline: &str, optimized: &str) -> String {
    for scenario in scenarios {
        let count = |arm: &str, fault: &str| {
            let arm = scenario.arms.iter().find(|other| other.name == arm)?;
            arm.outcomes.get(fault).and_then(Value::as_f64)
        };
        for (fault, words) in FAULTS {
            let (before, after) = (count(baseline, fault), count(optimized, fault));
            if let (Some(before), Some(after)) = (before, after)
                && before > 0.0
            {
                let (before, after) = (format::number(before), format::number(after));
                return format!("{words} {before} → {after}, {}", scenario.name);
            }
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ArmReport, Shows};

    fn scenario(name: &str, oversold: [u64; 2]) -> ScenarioReport {
        let arms = ["bad", "good"].into_iter().zip(oversold);
        ScenarioReport {
            name: name.to_owned(),
            parameters: Default::default(),
            shows: Shows::Gain,
            arms: arms
                .map(|(name, oversold)| ArmReport {
                    name: name.to_owned(),
                    outcomes: [("oversold".to_owned(), oversold.into())].into(),
                    ..ArmReport::default()
                })
                .collect(),
            ratios: Vec::new(),
            skipped: None,
        }
    }

    #[test]
    fn the_first_scenario_with_a_fault_is_told() {
        let scenarios = [scenario("calm", [0, 0]), scenario("rush", [400, 0])];
        assert_eq!(wrong(&scenarios, "bad", "good"), "units oversold 400 → 0, rush");
        assert_eq!(wrong(&scenarios, "good", "bad"), "");
    }
}
