//! One lesson from its databases to its report.
//!
//! The order is what makes the numbers worth anything: the switch is proven to act and the arms to answer alike before
//! anything is timed, and the arm is compared with itself before it is compared with others.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;
use storefront::variants::LESSONS;

use super::measure::{Bench, Found};
use super::plan::SlicePlan;
use super::progress::Progress;
use super::ratios::decide;
use super::requests::Walks;
use super::stand::{Ground, Stand};
use super::written::{not_measured, skeleton};
use super::{answers, counted, limit};
use crate::lessons::{
    Facts, Observation, Observations, Plan, Requests, Scenario, check_claim, count_effort, lesson_missing,
    waived,
};
use crate::report::{LessonReport, Limit, Metric, Mode, NoiseFloor, SameAnswers, Signature};

/// What one lesson brought.
pub struct Compared {
    /// Its part of the report.
    pub report: LessonReport,
    /// Its noise floor.
    pub floors: Vec<NoiseFloor>,
}

/// Everything that is known of the arms before anything is timed.
struct Examined {
    scenarios: Vec<Scenario>,
    /// By scenario, then arm.
    paths: Vec<Vec<Vec<String>>>,
    /// Likewise.
    seen: Vec<Vec<Observation>>,
    signature: Signature,
    same_answers: SameAnswers,
    exhibits: Vec<String>,
}

/// Compares the arms of a lesson. `facts` are read when there are none yet.
pub async fn compare(
    plan: &Plan,
    ground: &Ground,
    mode: Mode,
    facts: &mut Option<Facts>,
    progress: &Progress,
) -> Result<Compared> {
    let lesson = plan.lesson;
    if let Some(missing) = facts.as_ref().and_then(|facts| not_on_this_data(plan, facts)) {
        return Ok(missing);
    }
    progress.say(&format!(
        "{}: databases and shops for {}",
        lesson.name,
        plan.arms.join(", ")
    ));
    let mut stands = Vec::new();
    for (number, arm) in plan.arms.iter().enumerate() {
        stands.push(Stand::build(ground, lesson, arm, number as u8, plan.environment).await?);
    }
    let facts = match facts {
        Some(facts) => facts,
        None => {
            let stand = stands.last_mut().expect("a lesson has arms");
            facts.insert(ground.data.facts(&mut stand.monitor, ground.seed).await?)
        }
    };
    let compared = if let Some(missing) = not_on_this_data(plan, facts) {
        Ok(missing)
    } else {
        prove_and_measure(plan, ground, mode, &mut stands, facts, progress).await
    };
    for stand in stands {
        stand.stop(ground).await?;
    }
    compared
}

async fn prove_and_measure(
    plan: &Plan,
    ground: &Ground,
    mode: Mode,
    stands: &mut [Stand],
    facts: &Facts,
    progress: &Progress,
) -> Result<Compared> {
    let (mut scenarios, mut left_out) = (Vec::new(), Vec::new());
    for (position, scenario) in (plan.scenarios)(facts).into_iter().enumerate() {
        match scenario.missing.clone() {
            None => scenarios.push(scenario),
            Some(reason) => left_out.push((position, not_measured(plan, &scenario, reason))),
        }
    }
    let examined = examine(plan, scenarios, stands, facts, progress).await?;
    let mut compared = if examined.signature.holds && examined.same_answers.different == 0 {
        measure(plan, ground, mode, stands, facts, examined, progress).await?
    } else {
        Compared {
            report: report_of(plan, stands, examined),
            floors: Vec::new(),
        }
    };
    for (position, scenario) in left_out {
        compared.report.scenarios.insert(position, scenario);
    }
    Ok(compared)
}

/// Proves that the switch acts and that the arms answer alike.
async fn examine(
    plan: &Plan,
    scenarios: Vec<Scenario>,
    stands: &mut [Stand],
    facts: &Facts,
    progress: &Progress,
) -> Result<Examined> {
    let mut walks = Walks::default();
    let mut same_answers = SameAnswers {
        note: plan.answers_note.map(str::to_owned),
        ..SameAnswers::default()
    };
    let mut observations = Observations::of_data(facts);
    // A cache answers the second time.
    let uncached = plan.lesson.context.contains(&("catalog_cache", "none"));
    let times = if uncached { 1 } else { 2 };
    let (mut paths, mut seen) = (Vec::new(), Vec::new());
    for scenario in &scenarios {
        progress.say(&format!(
            "{}: {}: counting, comparing answers",
            plan.lesson.name, scenario.name
        ));
        let mut of_arms = Vec::new();
        for stand in stands.iter() {
            of_arms.push(walks.paths(scenario, stand).await?);
        }
        let mut seen_of_arms = vec![Observation::default(); stands.len()];
        if !matches!(scenario.requests, Requests::Writes(_)) {
            answers::compare(&scenario.name, stands, &of_arms, times, &mut same_answers).await?;
            let mut asked = Vec::new();
            for (stand, paths) in stands.iter().zip(&of_arms) {
                asked.push(counted::affordable(scenario, paths, stand).await?);
            }
            let fewest = asked.iter().map(Vec::len).min().unwrap_or(0);
            for (arm, stand) in stands.iter_mut().enumerate() {
                seen_of_arms[arm] = counted::count(scenario, &asked[arm][..fewest], stand).await?;
                observations.seen.insert(
                    (scenario.name.clone(), stand.arm.to_owned()),
                    seen_of_arms[arm].clone(),
                );
            }
        }
        paths.push(of_arms);
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
        paths,
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

async fn measure(
    plan: &Plan,
    ground: &Ground,
    mode: Mode,
    stands: &[Stand],
    facts: &Facts,
    examined: Examined,
    progress: &Progress,
) -> Result<Compared> {
    let lesson = plan.lesson;
    let bench = Bench {
        lesson,
        ground,
        stands,
        plan: SlicePlan::of(mode, lesson.name),
        mode,
        progress,
        settled: RefCell::default(),
    };
    let mut floors = noise_floors(plan, &bench, &examined).await?;
    let (mut measured, mut pending) = (Vec::new(), Vec::new());
    for (number, scenario) in examined.scenarios.iter().enumerate() {
        progress.say(&format!("{}: {}: measuring", lesson.name, scenario.name));
        let found = bench
            .measure(number, scenario, &examined.paths[number], &examined.seen[number])
            .await?;
        measured.push(found.report);
        pending.extend(found.pending);
    }
    floors.extend(write_floors(plan, &bench, &examined).await?);
    for (scenario, ratio) in decide(pending, &floors) {
        measured[scenario].ratios.push(ratio);
    }
    progress.say(&format!("{}: the limit", lesson.name));
    let limit = first_limit(plan, ground, &examined, stands).await;
    let mut report = report_of(plan, stands, examined);
    match limit {
        Ok(limit) => report.limit = limit,
        // A tool that is missing takes one line of the page away, not the comparison.
        Err(fault) => report
            .notes
            .push(format!("The limit was not measured: {fault:#}.")),
    }
    report.claims = plan
        .claims
        .iter()
        .map(|claim| check_claim(claim, &measured))
        .collect();
    if let Some(first) = report.claims.first() {
        report.claim = Some(first.claim.clone());
        report.claim_verdict = first.verdict;
    }
    let explanation = (plan.explain)(&measured, facts);
    report.why = explanation.why;
    report.notes.extend(explanation.notes);
    report.scenarios = measured;
    Ok(Compared { report, floors })
}

/// The optimized arm against itself, under the headline's plan.
async fn noise_floors(plan: &Plan, bench: &Bench<'_>, examined: &Examined) -> Result<Vec<NoiseFloor>> {
    let lesson = plan.lesson;
    bench
        .progress
        .say(&format!("{}: {} against itself", lesson.name, lesson.optimized));
    let (headline, paths) = (&examined.scenarios[0], &examined.paths[0]);
    let stand = bench.stands.last().expect("a lesson has arms");
    let twin = stand.twin(bench.ground, lesson, headline.distance).await?;
    let found = bench.noise_floor(headline, paths, &twin).await;
    twin.stop().await?;
    Ok(floors_of(lesson.name, found?))
}

/// The optimized arm against itself as a writer, where there are any. After the reads: cloning and writing leave the
/// server's memory and disk busy.
async fn write_floors(plan: &Plan, bench: &Bench<'_>, examined: &Examined) -> Result<Vec<NoiseFloor>> {
    let writes = examined
        .scenarios
        .iter()
        .find_map(|scenario| match scenario.requests {
            Requests::Writes(writes) => Some(writes),
            _ => None,
        });
    let Some(writes) = writes else {
        return Ok(Vec::new());
    };
    let lesson = plan.lesson;
    bench.progress.say(&format!(
        "{}: {} against itself as a writer",
        lesson.name, lesson.optimized
    ));
    Ok(floors_of(lesson.name, bench.write_floor(writes).await?))
}

fn floors_of(lesson: &str, found: Vec<(Metric, Found)>) -> Vec<NoiseFloor> {
    found
        .into_iter()
        .map(|(metric, (estimate, blocks))| NoiseFloor {
            metric,
            ratio: estimate.value,
            ci95: [estimate.ci95.0, estimate.ci95.1],
            lesson: lesson.to_owned(),
            blocks,
        })
        .collect()
}

/// The limit of the first scenario that has one: not every statement can be given to `pgbench`.
async fn first_limit(
    plan: &Plan,
    ground: &Ground,
    examined: &Examined,
    stands: &[Stand],
) -> Result<Option<Limit>> {
    let optimized = stands.len() - 1;
    let mut fault = None;
    for (scenario, paths) in examined.scenarios.iter().zip(&examined.paths) {
        match limit::measure(plan, ground, scenario, &paths[optimized], &stands[optimized]).await {
            Ok(Some(limit)) => return Ok(Some(limit)),
            Ok(None) => {}
            Err(this) => fault = fault.or(Some(this)),
        }
    }
    fault.map_or(Ok(None), Err)
}

/// The report without anything that was timed. When the proof failed, it stays like this, without a ratio.
fn report_of(plan: &Plan, stands: &[Stand], examined: Examined) -> LessonReport {
    let lesson = plan.lesson;
    let scenarios = examined
        .scenarios
        .iter()
        .zip(&examined.seen)
        .map(|(scenario, seen)| {
            let mut report = skeleton(scenario, stands, seen);
            report.ratios.clear();
            report
        });
    LessonReport {
        name: lesson.name.to_owned(),
        question: lesson.question.to_owned(),
        baseline: lesson.baseline.to_owned(),
        optimized: lesson.optimized.to_owned(),
        context: context(plan),
        scenarios: scenarios.collect(),
        signature: Some(examined.signature),
        same_answers: Some(examined.same_answers),
        skipped: None,
        claim: None,
        claim_verdict: None,
        why: String::new(),
        limit: None,
        effort: count_effort(plan.files, lesson.baseline, lesson.optimized),
        failed: None,
        claims: Vec::new(),
        notes: examined.exhibits,
    }
}

/// The report of a lesson that this data cannot show: what would have been compared, and why it is not.
fn not_on_this_data(plan: &Plan, facts: &Facts) -> Option<Compared> {
    let reason = lesson_missing(plan.lesson.name, facts)?;
    let scenarios = (plan.scenarios)(facts);
    let mut report = report_of(plan, &[], nothing(plan));
    report.scenarios = scenarios
        .iter()
        .map(|scenario| not_measured(plan, scenario, reason.clone()))
        .collect();
    report.signature = None;
    report.same_answers = None;
    report.skipped = Some(reason);
    Some(Compared {
        report,
        floors: Vec::new(),
    })
}

/// The report of a comparison that broke off.
pub fn broken_off(plan: &Plan, fault: &anyhow::Error) -> LessonReport {
    let mut report = report_of(plan, &[], nothing(plan));
    report.failed = Some(format!("the comparison broke off: {fault:#}"));
    report
}

fn nothing(plan: &Plan) -> Examined {
    Examined {
        scenarios: Vec::new(),
        paths: Vec::new(),
        seen: Vec::new(),
        signature: Signature {
            expected: plan.expected.to_owned(),
            observed: "not observed".into(),
            holds: false,
        },
        same_answers: SameAnswers::default(),
        exhibits: Vec::new(),
    }
}

/// The arm of every other lesson.
fn context(plan: &Plan) -> BTreeMap<String, String> {
    let declared: BTreeMap<&str, &str> = plan.lesson.context.iter().copied().collect();
    LESSONS
        .iter()
        .filter(|other| other.name != plan.lesson.name)
        .map(|other| {
            (
                other.name.to_owned(),
                (*declared.get(other.name).unwrap_or(&other.optimized)).to_owned(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lessons::plans;
    use crate::report::Cost;

    /// What every arm would show if the switch did nothing.
    fn alike() -> Observation {
        Observation {
            cost: Cost {
                queries_per_request: Some(3.0),
                buffers_per_request: Some(120.0),
                postgres_bytes: Some(9_000.0),
                ..Cost::default()
            },
            ..Observation::default()
        }
    }

    #[test]
    fn a_switch_that_does_nothing_is_noticed_in_every_lesson() {
        let facts = Facts::for_tests();
        for plan in plans() {
            let scenarios = (plan.scenarios)(&facts);
            let mut seen = Observations::of_data(&facts);
            for scenario in &scenarios {
                for arm in &plan.arms {
                    seen.seen
                        .insert((scenario.name.clone(), (*arm).to_owned()), alike());
                }
            }
            let signature = signature(&plan, &seen, &scenarios);
            assert!(
                !signature.holds,
                "{} holds without any difference",
                plan.lesson.name
            );
            assert!(
                signature.observed.contains("not as expected"),
                "{}",
                signature.observed
            );
        }
    }

    #[test]
    fn what_was_not_observed_proves_nothing() {
        for plan in plans() {
            assert!(
                !signature(&plan, &Observations::default(), &[]).holds,
                "{}",
                plan.lesson.name
            );
        }
    }

    #[test]
    fn the_context_names_every_other_lesson() {
        for plan in plans() {
            let context = context(&plan);
            assert_eq!(context.len(), LESSONS.len() - 1);
            for (other, arm) in plan.lesson.context {
                assert_eq!(context.get(*other).map(String::as_str), Some(*arm));
            }
        }
    }
}
