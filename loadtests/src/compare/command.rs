//! The command line of `compare`, and the run around the lessons.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use local_services::{Purpose, Services};
use techniques::LESSONS;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::clones::Clones;
use super::data::{Data, look_at_import};
use super::lesson;
use super::plan::{CONCURRENCY, SlicePlan};
use super::progress::Progress;
use super::stand::{Ground, WAITS};
use crate::costs::{StoreUrls, machine};
use crate::database::{ImportFile, measure_alone};
use crate::lessons::{Plan, needs_third_parties, plans};
use crate::report::{self, Mode, Report, SCHEMA};
use crate::trials::Simulators;
use dataset::{DEFAULT_SEED, Scale};

/// Measures the arms of each lesson side by side, and writes report.json and index.html.
#[derive(Debug, clap::Args)]
pub struct Command {
    /// A lesson to compare; may be given several times. By default the twelve of the core, which take about thirteen
    /// minutes on two cores; `backstock-lab lessons` says which they are.
    #[arg(long = "lesson", value_name = "NAME")]
    pub lessons: Vec<String>,
    /// Compares every lesson.
    #[arg(long, conflicts_with = "lessons")]
    pub all: bool,
    /// How much data: xs (1 000 products), s (200 000) or m (1 000 000).
    #[arg(long, value_enum, default_value_t = Scale::S, conflicts_with = "import")]
    pub scale: Scale,
    /// Runs on the products of a Shopify product export (CSV) in place of generated ones.
    #[arg(long, value_name = "FILE")]
    pub import: Option<PathBuf>,
    /// The seed of the data and of all draws.
    #[arg(long, default_value_t = DEFAULT_SEED)]
    pub seed: u64,
    /// Longer slices, the tail, and the capacity of every arm; of every lesson, unless some are named.
    #[arg(long)]
    pub full: bool,
    /// The folder for report.json and index.html.
    #[arg(long, default_value = "target/compare")]
    pub output: PathBuf,
    /// Records the result under loadtests/results/NAME as well, to be committed.
    #[arg(long, value_name = "NAME")]
    pub record: Option<String>,
    /// Prints the report as JSON instead of the table.
    #[arg(long)]
    pub json: bool,
    /// The backstock-api binary; beside this program by default.
    #[arg(long, value_name = "PATH")]
    pub api_binary: Option<PathBuf>,
}

impl Command {
    /// Checks what was asked for, before anything is started.
    pub fn check(&self) -> Result<Vec<Plan>> {
        let known: Vec<&str> = LESSONS.iter().map(|lesson| lesson.name).collect();
        if let Some(unknown) = self.lessons.iter().find(|name| !known.contains(&name.as_str())) {
            bail!(
                "there is no lesson `{unknown}`; lessons are: {}",
                known.join(", ")
            );
        }
        let name_is_plain = |name: &String| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if let Some(name) = self.record.as_ref().filter(|name| !name_is_plain(name)) {
            bail!("`{name}` is no name for a recorded result: use letters, digits, `-`, `_` and `.`");
        }
        if let Some(path) = &self.import {
            ImportFile::open(path)?;
        }
        let plans: Vec<Plan> = plans().into_iter().filter(|plan| self.wants(plan)).collect();
        if plans.iter().any(|plan| plan.arms.len() < 2) {
            bail!(
                "this build has no baselines, so there is nothing to compare with: build with default features"
            );
        }
        Ok(plans)
    }

    fn wants(&self, plan: &Plan) -> bool {
        if self.lessons.is_empty() {
            self.all || self.full || plan.is_core
        } else {
            self.lessons.iter().any(|name| name == plan.lesson.name)
        }
    }

    /// Runs the comparison. `Ok(false)` when a proof failed; its lesson is named last.
    pub async fn run(self, plans: Vec<Plan>) -> Result<bool> {
        let begun = Instant::now();
        let mode = if self.full { Mode::Full } else { Mode::Quick };
        let started_at = OffsetDateTime::now_utc()
            .replace_nanosecond(0)?
            .format(&Rfc3339)?;
        let services = tokio::task::spawn_blocking(|| Services::start(Purpose::Shop)).await??;
        let (database, redis) = (services.database_url("postgres"), services.redis_url(0));
        let broker = services.amqp_url("/");
        let _alone = measure_alone(&database).await?;
        let stores = StoreUrls {
            postgres: Some(&database),
            redis: Some(&redis),
            amqp: Some(&broker),
        };
        let machine = machine(stores).await?;
        std::fs::create_dir_all(&self.output)
            .with_context(|| format!("cannot make the folder {}", self.output.display()))?;
        let logs = self.output.join("logs");
        std::fs::create_dir_all(&logs)?;
        let data = match &self.import {
            Some(path) => Data::Imported(ImportFile::open(path)?),
            None => Data::Generated(self.scale),
        };
        let ground = Ground {
            services,
            api_binary: self.api_binary()?,
            third_parties: self.third_parties(&plans, &logs).await?,
            logs,
            data,
            seed: self.seed,
            clones: Clones::default(),
        };
        let mut facts = look_at_import(&ground).await?;

        let mut report = Report {
            schema: SCHEMA,
            commit: commit(),
            started_at,
            scale: ground.data.scale(),
            mode,
            machine,
            noise_floor: Vec::new(),
            lessons: Vec::new(),
            seed: self.seed,
            duration_s: None,
            settings: settings(mode, &plans),
            left_out: left_out(&plans),
        };
        if ground.services.postgres_pid().is_none() {
            note_that_stores_are_elsewhere(&mut report);
        }
        if let (Data::Imported(file), Some(facts)) = (&ground.data, &facts) {
            report.note_import(file.name(), file.digest.clone(), facts.products);
        }
        let progress = Progress::new(expected_slices(&plans));
        for plan in &plans {
            match lesson::compare(plan, &ground, mode, &mut facts, &progress).await {
                Ok(compared) => {
                    report.noise_floor.extend(compared.floors);
                    report.lessons.push(compared.report);
                }
                // The other lessons are worth their minutes all the same.
                Err(fault) => report.lessons.push(lesson::broken_off(plan, &fault)),
            }
        }
        progress.finish();
        Clones::drop_all(&database).await?;
        report.duration_s = Some(begun.elapsed().as_secs_f64());
        self.publish(&report)
    }

    fn publish(&self, report: &Report) -> Result<bool> {
        let page = report::write(report, &self.output)?;
        if let Some(name) = &self.record {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results").join(name);
            report::write(report, &folder)?;
            eprintln!("recorded in {}", folder.display());
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(report)?);
        } else {
            println!("{}", report::table(report));
            println!("page: {}", page.display());
        }
        let failed: Vec<&str> = report
            .lessons
            .iter()
            .filter(|lesson| !lesson.holds())
            .map(|lesson| lesson.name.as_str())
            .collect();
        if !failed.is_empty() {
            eprintln!(
                "failed: the comparison of {} is void, see the page",
                failed.join(", ")
            );
        }
        Ok(failed.is_empty())
    }

    /// Starts them when a lesson needs them.
    async fn third_parties(&self, plans: &[Plan], logs: &Path) -> Result<Option<Simulators>> {
        if !plans.iter().any(|plan| needs_third_parties(plan.lesson.name)) {
            return Ok(None);
        }
        let binary = self.api_binary()?.with_file_name("backstock-simulators");
        let log = logs.join("simulators.log");
        Ok(Some(Simulators::start(&binary, &log).await?))
    }

    fn api_binary(&self) -> Result<PathBuf> {
        if let Some(path) = &self.api_binary {
            return Ok(path.clone());
        }
        let this = std::env::current_exe().context("cannot find the path of this program")?;
        let beside = this.with_file_name("backstock-api");
        if !beside.exists() {
            bail!(
                "there is no {}: build it with `cargo build --release -p api`, or give --api-binary",
                beside.display()
            );
        }
        Ok(beside)
    }
}

fn left_out(plans: &[Plan]) -> Vec<String> {
    let is_planned = |name: &str| plans.iter().any(|plan| plan.lesson.name == name);
    let names = LESSONS.iter().map(|lesson| lesson.name);
    names
        .filter(|name| !is_planned(name))
        .map(str::to_owned)
        .collect()
}

fn settings(mode: Mode, plans: &[Plan]) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for plan in plans {
        if plan.is_of_trials() {
            let text = "8 blocks of every arm's slice in turns, whose length is with the scenario";
            settings.insert(format!("slices, {}", plan.lesson.name), text.into());
            continue;
        }
        let slices = SlicePlan::of(mode, plan.lesson.name);
        let text = format!(
            "{} ABBA blocks of 4 × {} ms",
            slices.blocks,
            slices.slice.as_millis()
        );
        settings.insert(format!("slices, {}", plan.lesson.name), text);
    }
    let waits = WAITS.map(|(name, value)| format!("{name}={value}"));
    settings.insert(
        "what every shop waits for, where its lesson doesn't say otherwise".into(),
        waits.join(" "),
    );
    for plan in plans.iter().filter(|plan| !plan.environment.is_empty()) {
        let own = plan
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let own: Vec<String> = own.collect();
        settings.insert(
            format!("settings of both arms, {}", plan.lesson.name),
            own.join(" "),
        );
    }
    settings.insert(
        "noise floor".into(),
        "once a lesson, under the plan of its headline scenario".into(),
    );
    if mode == Mode::Quick {
        settings.insert(
            "left out for time".into(),
            "scenarios that are measured with `--full`".into(),
        );
    }
    settings.insert(
        "offered rate".into(),
        "half of what the slower arm takes in a closed loop, 1 500 a second at most".into(),
    );
    settings.insert(
        "closed loop".into(),
        format!("{CONCURRENCY} clients, unless a scenario says otherwise"),
    );
    settings
}

/// So many slices as a quick run of these lessons has, about: for the bar.
fn expected_slices(plans: &[Plan]) -> u64 {
    let runs = |plan: &Plan| match plan.lesson.name {
        "indexes" => 12,
        "sessions" => 9,
        "compression" => 7,
        "pagination" | "listing" | "connections" | "order_history" => 6,
        "search" => 2,
        "password_hashing" | "welcome_email" => 3,
        _ => 5,
    };
    plans.iter().map(|plan| runs(plan) * 32).sum()
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let folder = env!("CARGO_MANIFEST_DIR");
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(arguments)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        // An image has no repository; whoever built it says what from (Dockerfile).
        return std::env::var("BACKSTOCK_COMMIT").unwrap_or_else(|_| "unknown".into());
    };
    let clean =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| changes.is_empty());
    if clean { commit } else { format!("{commit}-dirty") }
}

fn note_that_stores_are_elsewhere(report: &mut Report) {
    let text =
        "not measured: the environment names stores on other machines, out of sight of this machine's /proc";
    eprintln!("CPU of the stores: {text}");
    report.settings.insert("CPU of the stores".into(), text.into());
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        command: Command,
    }

    fn wanted(arguments: &[&str]) -> Vec<&'static str> {
        let command = Cli::parse_from([&["compare"], arguments].concat()).command;
        let wanted = plans().into_iter().filter(|plan| command.wants(plan));
        wanted.map(|plan| plan.lesson.name).collect()
    }

    #[test]
    fn a_run_that_names_no_lesson_compares_the_core() {
        let core = plans().into_iter().filter(|plan| plan.is_core);
        let core: Vec<&str> = core.map(|plan| plan.lesson.name).collect();
        assert_eq!(wanted(&[]), core);
        assert!(core.contains(&"pagination") && !core.contains(&"events"));
    }

    #[test]
    fn every_lesson_is_compared_when_all_are_asked_for_or_the_run_is_full() {
        let every: Vec<&str> = LESSONS.iter().map(|lesson| lesson.name).collect();
        assert_eq!(wanted(&["--all"]), every);
        assert_eq!(wanted(&["--full"]), every);
    }

    #[test]
    fn lessons_that_are_named_are_compared_alone() {
        assert_eq!(
            wanted(&["--lesson", "events", "--lesson", "indexes"]),
            ["indexes", "events"]
        );
        assert_eq!(wanted(&["--full", "--lesson", "events"]), ["events"]);
    }

    #[test]
    fn what_is_not_compared_is_left_out() {
        let events = plans().into_iter().filter(|plan| plan.lesson.name == "events");
        let left_out = left_out(&events.collect::<Vec<_>>());
        assert_eq!(left_out.len(), LESSONS.len() - 1);
        assert!(!left_out.contains(&"events".to_owned()));
    }
}
