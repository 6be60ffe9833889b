//! The proofs that come before anything is timed: that the switch acts, and that the arms answer alike.

use anyhow::Result;

use super::progress::Progress;
use super::requests::Preparation;
use super::stand::{Ground, Stand};
use super::{answers, counted};
use crate::lessons::{Facts, Observation, Observations, Plan, Requests, Scenario, waived};
use crate::report::{SameAnswers, Signature};
use crate::trials::ThirdParties;

/// Everything that is known of the arms before anything is timed.
pub(super) struct Examined {
    pub(super) scenarios: Vec<Scenario>,
    /// By scenario, then arm.
    pub(super) seen: Vec<Vec<Observation>>,
    pub(super) signature: Signature,
    pub(super) same_answers: SameAnswers,
    pub(super) exhibits: Vec<String>,
}

/// Proves that the switch acts and that the arms answer alike.
pub(super) async fn examine(
    plan: &Plan,
    scenarios: Vec<Scenario>,
    ground: &Ground,
    stands: &mut [Stand],
    facts: &Facts,
    preparation: &mut Preparation,
    progress: &Progress,
) -> Result<Examined> {
    let mut same_answers = SameAnswers {
        note: plan.answers_note.map(str::to_owned),
        ..SameAnswers::default()
    };
    let mut observations = Observations::of_data(facts);
    // A cache answers the second time.
    let uncached = plan.lesson.context.contains(&("catalog_cache", "none"));
    let times = if uncached { 1 } else { 2 };
    let mut seen = Vec::new();
    for scenario in &scenarios {
        set_third_parties(scenario, ground).await?;
        progress.say(&format!(
            "{}: {}: counting, comparing answers",
            plan.lesson.name, scenario.name
        ));
        let asks = preparation.of_arms(scenario, stands).await?;
        let mut seen_of_arms = vec![Observation::default(); stands.len()];
        if !matches!(scenario.requests, Requests::Writes(_)) {
            answers::compare(scenario, stands, &asks, times, &mut same_answers).await?;
            let mut asked = Vec::new();
            for (stand, asks) in stands.iter().zip(&asks) {
                asked.push(counted::affordable(scenario, asks, stand).await?);
            }
            let fewest = asked.iter().map(Vec::len).min().unwrap_or(0);
            let slow = preparation.slow_of_arms(scenario, stands).await?;
            for (arm, stand) in stands.iter_mut().enumerate() {
                let third_parties = ground.third_parties.as_ref();
                let mut found = counted::count(scenario, &asked[arm][..fewest], stand, third_parties).await?;
                if let Some(slow) = slow.get(arm) {
                    found.blocking_share = Some(counted::blocking_share(slow, stand).await?);
                }
                observations
                    .seen
                    .insert((scenario.name.clone(), stand.arm.to_owned()), found.clone());
                seen_of_arms[arm] = found;
            }
        }
        seen.push(seen_of_arms);
    }
    let exhibits = answers::exhibit(&(plan.exhibits)(facts), stands).await?;
    let mut signature = signature(plan, &observations, &scenarios);
    if let Some(waived) = waived(plan.lesson.name, facts) {
        signature
            .expected
            .push_str(&format!("; not asked of this data: {waived}"));
    }
    Ok(Examined {
        exhibits,
        signature,
        same_answers,
        scenarios,
        seen,
    })
}

/// Judges a lesson's signature.
pub fn signature(plan: &Plan, observations: &Observations, scenarios: &[Scenario]) -> Signature {
    let verdict = (plan.signature)(observations);
    let of_headline = plan.arms.iter().filter_map(|arm| {
        let headline = scenarios.first()?;
        let seen = observations.of(&headline.name, arm).ok()?;
        Some(format!("{arm}: {}", (plan.observed)(seen)))
    });
    let mut observed: Vec<String> = of_headline.collect();
    if let Err(missing) = &verdict {
        observed.push(format!("not as expected: {missing}"));
    }
    Signature {
        expected: plan.expected.to_owned(),
        observed: observed.join("; "),
        holds: verdict.is_ok(),
    }
}

/// Lets the third parties take as long as a scenario says.
pub(super) async fn set_third_parties(scenario: &Scenario, ground: &Ground) -> Result<()> {
    match &ground.third_parties {
        Some(third_parties) => {
            let delays = ThirdParties {
                mail: scenario.mails_take,
                ..ThirdParties::AT_ONCE
            };
            third_parties.set_delays(&delays).await
        }
        None => Ok(()),
    }
}
