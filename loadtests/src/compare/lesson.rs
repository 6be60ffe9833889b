//! One lesson from its databases to its report.
//!
//! The order is what makes the numbers worth anything: the switch is proven to act and the arms to answer alike before
//! anything is timed, and the arm is compared with itself before it is compared with others.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;
use techniques::LESSONS;

use super::beside::FastAndSlow;
use super::clones::next_write;
use super::invariants::violated;
use super::limit;
use super::measure::{Bench, Found};
use super::plan::SlicePlan;
use super::progress::Progress;
use super::proofs::{Examined, examine, set_third_parties};
use super::ratios::decide;
use super::requests::Preparation;
use super::stand::{Ground, Stand};
use super::written::{not_measured, skeleton};
use crate::lessons::{
    Facts, LimitKind, Load, Plan, Requests, Scenario, check_claim, count_effort, lesson_missing,
};
use crate::report::{LessonReport, Limit, Metric, Mode, NoiseFloor, SameAnswers, Signature};

/// What one lesson brought.
pub struct Compared {
    /// Its part of the report.
    pub report: LessonReport,
    /// Its noise floor.
    pub floors: Vec<NoiseFloor>,
}

/// Compares the arms of a lesson. `facts` are read when there are none yet.
pub async fn compare(
    plan: &Plan,
    ground: &Ground,
    mode: Mode,
    facts: &mut Option<Facts>,
    progress: &Progress,
) -> Result<Compared> {
    if plan.is_of_trials() {
        return super::trials::compare(plan, ground, mode, facts, progress).await;
    }
    let lesson = plan.lesson;
    if let Some(missing) = facts.as_ref().and_then(|facts| not_on_this_data(plan, facts)) {
        return Ok(missing);
    }
    progress.say(&format!(
        "{}: databases and shops for {}",
        lesson.name,
        plan.arms.join(", ")
    ));
    let mut stands = Stand::build_all(ground, lesson, &plan.arms, plan.environment).await?;
    let monitor = &mut stands.last_mut().expect("a lesson has arms").monitor;
    let at_first = next_write(monitor).await?;
    let facts = match facts {
        Some(facts) => facts,
        None => facts.insert(ground.data.facts(monitor, ground.seed).await?),
    };
    let compared = if let Some(missing) = not_on_this_data(plan, facts) {
        Ok(missing)
    } else {
        prove_and_measure(plan, ground, mode, &mut stands, facts, progress).await
    };
    let monitor = &mut stands.last_mut().expect("a lesson has arms").monitor;
    let is_as_cloned = next_write(monitor).await? == at_first;
    let mut templates = Vec::new();
    for stand in stands {
        templates.push(stand.template.clone());
        stand.stop().await?;
    }
    if is_as_cloned {
        ground.clones.keep(templates);
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
        let for_time = mode == Mode::Quick && scenario.only_in_full;
        let for_time = || for_time.then(|| "it is measured with `--full`".to_owned());
        match scenario.missing.clone().or_else(for_time) {
            None => scenarios.push(scenario),
            Some(reason) => left_out.push((position, not_measured(plan, &scenario, reason))),
        }
    }
    let mut preparation = Preparation::begin(ground).await?;
    let examined = examine(plan, scenarios, ground, stands, facts, &mut preparation, progress).await?;
    let mut compared = if examined.signature.holds && examined.same_answers.different == 0 {
        let mut compared = measure(
            plan,
            ground,
            mode,
            stands,
            facts,
            examined,
            &mut preparation,
            progress,
        )
        .await?;
        compared.report.failed = violated(&preparation, ground, stands).await?;
        compared
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

#[allow(
    clippy::too_many_arguments,
    reason = "each is another thing, and this is their only meeting"
)]
async fn measure(
    plan: &Plan,
    ground: &Ground,
    mode: Mode,
    stands: &[Stand],
    facts: &Facts,
    examined: Examined,
    preparation: &mut Preparation,
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
    let mut floors = noise_floors(plan, &bench, &examined.scenarios[0], preparation).await?;
    let (mut measured, mut pending) = (Vec::new(), Vec::new());
    for (number, scenario) in examined.scenarios.iter().enumerate() {
        progress.say(&format!("{}: {}: measuring", lesson.name, scenario.name));
        set_third_parties(scenario, ground).await?;
        // Asked for again: tokens last a quarter of an hour, which in the full mode is less than a lesson.
        let asks = preparation.of_arms(scenario, stands).await?;
        let slow = preparation.slow_of_arms(scenario, stands).await?;
        let found = bench
            .measure(number, scenario, &asks, &slow, &examined.seen[number])
            .await?;
        measured.push(found.report);
        pending.extend(found.pending);
    }
    floors.extend(write_floors(plan, &bench, &examined).await?);
    for (scenario, ratio) in decide(pending, &floors) {
        measured[scenario].ratios.push(ratio);
    }
    progress.say(&format!("{}: the limit", lesson.name));
    let limit = first_limit(plan, ground, &examined, stands, preparation).await;
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
async fn noise_floors(
    plan: &Plan,
    bench: &Bench<'_>,
    headline: &Scenario,
    preparation: &mut Preparation,
) -> Result<Vec<NoiseFloor>> {
    let lesson = plan.lesson;
    bench
        .progress
        .say(&format!("{}: {} against itself", lesson.name, lesson.optimized));
    set_third_parties(headline, bench.ground).await?;
    let asks = preparation.of_arms(headline, bench.stands).await?;
    let last = bench.stands.len() - 1;
    if let Load::BesideSlow(slow_ones) = &headline.load {
        let slow = preparation.slow_of_arms(headline, bench.stands).await?;
        let own = || FastAndSlow {
            fast: asks[last].clone(),
            slow: slow[last].clone(),
        };
        let found = bench.floor_beside(slow_ones, [own(), own()]).await?;
        return Ok(floors_of(lesson.name, found));
    }
    let twin = bench.stands[last]
        .twin(bench.ground, lesson, headline.distance)
        .await?;
    let found = bench.noise_floor(headline, &asks, &twin).await;
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
    preparation: &mut Preparation,
) -> Result<Option<Limit>> {
    if plan.limit == LimitKind::None {
        return Ok(None);
    }
    let optimized = stands.last().expect("a lesson has arms");
    let mut fault = None;
    for scenario in &examined.scenarios {
        let asks = preparation.asks(scenario, optimized).await?;
        match limit::measure(plan, ground, scenario, &asks, optimized).await {
            Ok(Some(limit)) => return Ok(Some(limit)),
            Ok(None) => {}
            Err(this) => fault = fault.or(Some(this)),
        }
    }
    fault.map_or(Ok(None), Err)
}

/// The report without anything that was timed. When the proof failed, it stays like this, without a ratio.
pub(super) fn report_of(plan: &Plan, stands: &[Stand], examined: Examined) -> LessonReport {
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

pub(super) fn nothing(plan: &Plan) -> Examined {
    Examined {
        scenarios: Vec::new(),
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
    use super::super::proofs::signature;
    use super::*;
    use crate::lessons::{Observation, Observations, plans};
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
