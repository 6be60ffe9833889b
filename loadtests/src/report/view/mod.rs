//! What the page shows: every number as text, every plot drawn, every list decided.
//!
//! The template only lays out. Read next: `lesson.rs`, one lesson's part; `templates/page.html`.

mod bars;
mod claim;
pub mod format;
mod lesson;
mod metrics;
mod wrong;

use anyhow::Result;

pub use lesson::LessonView;
use wrong::wrong;

use super::schema::{LessonReport, Mode, Report};

/// The whole page.
pub struct PageView {
    /// Name and value of what the run was.
    pub facts: Vec<(String, String)>,
    /// What the mode means for the numbers.
    pub mode_note: &'static str,
    /// The lessons that this run wasn't asked for, as a list in words. Empty when there are none.
    pub left_out: String,
    /// One row a lesson.
    pub summary: Vec<SummaryRow>,
    /// The noise floor by lesson and metric.
    pub floor: Vec<FloorRow>,
    /// The lessons.
    pub lessons: Vec<LessonView>,
    /// Everything the run was told.
    pub settings: Vec<(String, String)>,
}

/// One lesson in the table at the top and on the terminal.
pub struct SummaryRow {
    /// The lesson's name.
    pub name: String,
    /// `offset → cursor`
    pub arms: String,
    /// The headline scenario.
    pub scenario: String,
    /// Empty, or what the baseline does wrong.
    pub wrong: String,
    /// Median latency, before and after.
    pub p50: String,
    /// Its ratio.
    pub ratio: String,
    /// The ratio's interval.
    pub interval: String,
    /// CPU for each request, before and after.
    pub cpu: String,
    /// Statements for each request, before and after.
    pub statements: String,
    /// The claim's verdict, empty without a claim.
    pub claim: String,
    /// Empty, or why the comparison is void.
    pub failed: String,
    /// Empty, or why the data cannot show the lesson.
    pub skipped: String,
}

/// One line of the noise floor.
pub struct FloorRow {
    /// The lesson under whose plan it was measured.
    pub lesson: String,
    /// The metric.
    pub metric: &'static str,
    /// The ratio.
    pub ratio: String,
    /// Its interval.
    pub interval: String,
}

impl PageView {
    /// Prepares a report for the page.
    pub fn new(report: &Report) -> Result<Self> {
        let floor = report.noise_floor.iter().map(|floor| FloorRow {
            lesson: floor.lesson.clone(),
            metric: floor.metric.label(),
            ratio: format::times(floor.ratio),
            interval: format::interval(floor.ci95),
        });
        let lessons = report
            .lessons
            .iter()
            .map(|lesson| LessonView::new(lesson, report));
        Ok(Self {
            facts: facts(report),
            mode_note: mode_note(report.mode),
            left_out: report.left_out.join(", "),
            summary: report.lessons.iter().map(SummaryRow::new).collect(),
            floor: floor.collect(),
            lessons: lessons.collect::<Result<_>>()?,
            settings: report.settings.clone().into_iter().collect(),
        })
    }
}

fn mode_note(mode: Mode) -> &'static str {
    match mode {
        Mode::Quick => {
            "Quick run: exact costs, CPU and medians of everything; p95, p99 and capacity only where the samples suffice. \
             A dash means: not measured."
        }
        Mode::Full => {
            "Full run: long slices, the tail, and the capacity of every arm. A dash means: not measured."
        }
    }
}

fn facts(report: &Report) -> Vec<(String, String)> {
    let machine = &report.machine;
    let stores = [
        ("Postgres", &machine.postgres),
        ("Redis", &machine.redis),
        ("RabbitMQ", &machine.rabbitmq),
    ];
    let versions: Vec<String> = stores
        .into_iter()
        .filter_map(|(name, version)| version.as_ref().map(|version| format!("{name} {version}")))
        .collect();
    let duration = report.duration_s.map_or_else(String::new, |s| {
        format!(", took {:.0} min {:02.0} s", (s / 60.0).floor(), s % 60.0)
    });
    [
        ("Run", format!("{}{duration}", report.started_at)),
        ("Commit", report.commit.clone()),
        ("Data", report.data()),
        (
            "Machine",
            format!(
                "{} cores of {}, {}, Linux {}",
                machine.cores, machine.cpu, machine.memory, machine.kernel
            ),
        ),
        ("Stores", versions.join(", ")),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .map(|(name, text)| (name.to_owned(), text))
    .collect()
}

impl SummaryRow {
    /// One lesson's headline. A lesson whose comparison failed has no numbers in it.
    pub fn new(lesson: &LessonReport) -> Self {
        let mut row = Self {
            name: lesson.name.clone(),
            arms: format!("{} → {}", lesson.baseline, lesson.optimized),
            scenario: String::new(),
            wrong: wrong(&lesson.scenarios, &lesson.baseline, &lesson.optimized),
            p50: String::new(),
            ratio: String::new(),
            interval: String::new(),
            cpu: String::new(),
            statements: String::new(),
            claim: String::new(),
            failed: String::new(),
            skipped: lesson.skipped.clone().unwrap_or_default(),
        };
        if lesson.skipped.is_some() {
            return row;
        }
        if !lesson.holds() {
            row.failed = lesson::failure(lesson);
            return row;
        }
        row.claim = lesson
            .claim_verdict
            .map_or("", |verdict| verdict.as_str())
            .to_owned();
        let Some(headline) = lesson.scenarios.first() else {
            return row;
        };
        row.scenario = headline.name.clone();
        let arm = |name: &str| headline.arms.iter().find(|arm| arm.name == name);
        let (Some(before), Some(after)) = (arm(&lesson.baseline), arm(&lesson.optimized)) else {
            return row;
        };
        let pair =
            |a: Option<f64>, b: Option<f64>| format!("{} → {}", format::measured(a), format::measured(b));
        row.p50 = pair(before.latency_ms.p50, after.latency_ms.p50);
        row.cpu = pair(
            before.cpu_us_per_request.total(),
            after.cpu_us_per_request.total(),
        );
        row.statements = pair(before.cost.queries_per_request, after.cost.queries_per_request);
        if let Some(ratio) = lesson::headline_ratio(lesson) {
            row.ratio = format::times(ratio.value);
            row.interval = format::interval(ratio.ci95);
        }
        row
    }
}
