//! Lessons whose scenarios are runs of whole shops: a town for each arm, the proof that the switch acts, then what each
//! run brings.
//!
//! The order is that of `lesson.rs`: statements are counted and answers compared before anything is timed, and in the
//! slices of the headline the optimized arm is compared with itself. Read next: `paced.rs` for what is timed, `rush.rs`
//! and `killed.rs` for what is counted afterwards.

mod answers;
mod counted;
mod killed;
mod paced;
mod rush;

use anyhow::Result;
use serde_json::{Value, json};

use super::lesson::{Compared, nothing, report_of};
use super::progress::Progress;
use super::proofs::signature;
use super::ratios::{Pending, decide};
use super::stand::{Ground, WAITS, variants};
use super::written::{counted_ratios, not_measured};
use crate::lessons::{
    Course, Facts, Observation, Observations, Plan, Requests, Scenario, Trial, check_claim,
};
use crate::report::{ArmReport, LessonReport, Mode, NoiseFloor, SameAnswers, ScenarioReport};
use crate::trials::{Carts, Goods, PLENTY, Place, ThirdParties, Town, TownSettings};

/// One arm's town.
struct Arm {
    name: &'static str,
    town: Town,
}

/// What one scenario brought.
struct Run {
    report: ScenarioReport,
    pending: Vec<Pending>,
    floors: Vec<NoiseFloor>,
    /// What is wrong with the data of an arm that promises that nothing is.
    violated: Option<String>,
}

/// Compares the arms of a lesson.
pub async fn compare(
    plan: &Plan,
    ground: &Ground,
    mode: Mode,
    facts: &mut Option<Facts>,
    progress: &Progress,
) -> Result<Compared> {
    progress.say(&format!(
        "{}: shops for {}",
        plan.lesson.name,
        plan.arms.join(", ")
    ));
    let mut arms = Vec::new();
    for (number, arm) in plan.arms.iter().enumerate() {
        arms.push(build(plan, ground, arm, number as u8).await?);
    }
    let facts = match facts {
        Some(facts) => facts,
        None => {
            let monitor = &mut arms[0].town.monitor;
            facts.insert(ground.data.facts(monitor, ground.seed).await?)
        }
    };
    let compared = prove_and_run(plan, mode, &mut arms, facts, progress).await;
    for arm in arms {
        arm.town.stop().await?;
    }
    compared
}

async fn build(plan: &Plan, ground: &Ground, arm: &'static str, number: u8) -> Result<Arm> {
    let server_url = ground.services.database_url("postgres");
    let template = ground
        .data
        .template(&server_url, &ground.api_binary, ground.seed, "chosen")
        .await?;
    let place = Place {
        services: &ground.services,
        api_binary: &ground.api_binary,
        logs: &ground.logs,
    };
    let settings = TownSettings {
        name: format!("{}-{arm}", plan.lesson.name),
        number,
        variants: variants(plan.lesson, arm),
        template,
        // What the lesson says for itself comes later, and so counts.
        environment: WAITS
            .iter()
            .chain(plan.environment)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        database_settings: Vec::new(),
        has_broker_proxy: true,
    };
    Ok(Arm {
        name: arm,
        town: Town::build(place, settings).await?,
    })
}

async fn prove_and_run(
    plan: &Plan,
    mode: Mode,
    arms: &mut [Arm],
    facts: &Facts,
    progress: &Progress,
) -> Result<Compared> {
    let scenarios = (plan.scenarios)(facts);
    progress.say(&format!("{}: counting, comparing answers", plan.lesson.name));
    let mut observations = Observations::of_data(facts);
    let mut seen = Vec::new();
    for arm in arms.iter_mut() {
        let observed = counted::count(arm).await?;
        for scenario in &scenarios {
            let key = (scenario.name.clone(), arm.name.to_owned());
            observations.seen.insert(key, observed.clone());
        }
        seen.push(observed);
    }
    let same_answers = answers::compare(arms, plan.answers_note).await?;
    let signature = signature(plan, &observations, &scenarios);
    let may_be_timed = signature.holds && same_answers.different == 0;
    let mut report = report_of(plan, &[], nothing(plan));
    report.signature = Some(signature);
    report.same_answers = Some(SameAnswers { ..same_answers });
    if !may_be_timed {
        report.scenarios = scenarios
            .iter()
            .map(|scenario| skeleton(scenario, arms, &[]))
            .collect();
        return Ok(Compared {
            report,
            floors: Vec::new(),
        });
    }
    let (mut measured, mut pending, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for (number, scenario) in scenarios.iter().enumerate() {
        let Requests::Trial(trial) = &scenario.requests else {
            continue;
        };
        if scenario.only_in_full && mode == Mode::Quick {
            measured.push(not_measured(
                plan,
                scenario,
                "it is measured with `--full`".to_owned(),
            ));
            continue;
        }
        progress.say(&format!("{}: {}", plan.lesson.name, scenario.name));
        let of_headline = if number == 0 { seen.as_slice() } else { &[] };
        let run = run(plan, mode, number, scenario, trial, arms, of_headline, progress).await?;
        if let Some(violated) = run.violated {
            report.failed.get_or_insert(violated);
        }
        measured.push(run.report);
        pending.extend(run.pending);
        floors.extend(run.floors);
    }
    for (scenario, ratio) in decide(pending, &floors) {
        measured[scenario].ratios.push(ratio);
    }
    conclude(plan, &mut report, measured, facts);
    Ok(Compared { report, floors })
}

#[expect(
    clippy::too_many_arguments,
    reason = "each names one thing that a run needs, and it is called once"
)]
async fn run(
    plan: &Plan,
    mode: Mode,
    number: usize,
    scenario: &Scenario,
    trial: &Trial,
    arms: &mut [Arm],
    seen: &[Observation],
    progress: &Progress,
) -> Result<Run> {
    let mut run = Run {
        report: skeleton(scenario, arms, seen),
        pending: Vec::new(),
        floors: Vec::new(),
        violated: None,
    };
    describe(&mut run.report, trial);
    for arm in arms.iter_mut() {
        arm.town.stop_worker().await?;
        arm.town.set_delays(&trial.third_parties).await?;
        if !trial.worker.is_empty() {
            arm.town.start_worker(trial.worker).await?;
        }
    }
    match trial.course {
        Course::Buyers { .. } | Course::Arrivals { .. } => {
            let paced = paced::Paced {
                plan,
                mode,
                number,
                trial,
                progress,
            };
            paced.run(arms, &mut run).await?;
        }
        Course::Rush {
            units,
            buyers,
            clients,
        } => {
            rush::rush(plan, units, buyers, clients, arms, &mut run).await?;
        }
        Course::MailOutage { orders } => rush::mail_outage(trial, orders, arms, &mut run).await?,
        Course::Killed {
            blackhole,
            rounds,
            orders,
        } => {
            killed::killed(trial, blackhole, rounds, orders, arms, &mut run).await?;
        }
        Course::KilledUnderLoad { clients, kills } => {
            killed::under_load(trial, clients, kills, arms, &mut run).await?;
        }
    }
    Ok(run)
}

/// Full carts for an arm.
async fn carts(arm: &mut Arm, variants: usize, units: i32) -> Result<Carts> {
    let lines = variants.min(2);
    let goods = Goods::choose(&mut arm.town.monitor, variants, lines, units).await?;
    Ok(Carts::of(goods))
}

/// Full carts of what there is plenty of.
async fn plenty(arm: &mut Arm, trial: &Trial) -> Result<Carts> {
    carts(arm, trial.variants, PLENTY).await
}

/// The report of a scenario before its run. What was counted belongs to the headline.
fn skeleton(scenario: &Scenario, arms: &[Arm], seen: &[Observation]) -> ScenarioReport {
    let report = |(position, arm): (usize, &Arm)| {
        let seen = seen.get(position).cloned().unwrap_or_default();
        ArmReport {
            name: arm.name.to_owned(),
            cost: seen.cost,
            statements: seen.statements,
            ..ArmReport::default()
        }
    };
    let arms: Vec<ArmReport> = arms.iter().enumerate().map(report).collect();
    ScenarioReport {
        name: scenario.name.clone(),
        parameters: scenario.parameters.clone(),
        shows: scenario.shows,
        ratios: counted_ratios(&arms),
        arms,
        skipped: None,
    }
}

fn describe(report: &mut ScenarioReport, trial: &Trial) {
    let ThirdParties {
        payment,
        carrier,
        mail,
    } = trial.third_parties;
    for (party, delay) in [("payment", payment), ("carrier", carrier), ("mail", mail)] {
        // A lesson without a worker has nothing to do with carrier and mail server.
        if party == "payment" || delay.median_ms > 0.0 {
            let numbers = json!(format!("{} / {}", delay.median_ms, delay.p99_ms));
            report
                .parameters
                .insert(format!("{party}_ms_median_and_p99"), numbers);
        }
    }
    report
        .parameters
        .insert("different_variants".into(), json!(trial.variants));
}

fn outcome(report: &mut ScenarioReport, arm: usize, name: &str, value: impl Into<Value>) {
    report.arms[arm].outcomes.insert(name.to_owned(), value.into());
}

fn conclude(plan: &Plan, report: &mut LessonReport, measured: Vec<ScenarioReport>, facts: &Facts) {
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
}
