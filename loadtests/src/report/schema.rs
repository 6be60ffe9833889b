//! `report.json`, type by type.
//!
//! The names are what tools outside rely on; fields may be added, never renamed. What a mode does not measure is
//! `null`, never a guess.
//!
//! Read next: `measured.rs`, what was measured of an arm; then `view/`, which turns both into what the page shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::measured::{ArmReport, Cost, CpuCost, Latency, Ratio, ScenarioReport, Shows, StatementCost};
use super::metric::Metric;
pub use crate::costs::Machine;

/// The version of the format.
pub const SCHEMA: u32 = 1;

/// One run of `compare`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// The commit that was built, with `-dirty` when the tree differed from it.
    pub commit: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// The scale of the generated data, or `import`: then `settings` says of which file.
    pub scale: String,
    /// How much was measured.
    pub mode: Mode,
    /// Where it ran.
    pub machine: Machine,
    /// The optimized arm against itself, for each lesson and metric: what this machine cannot tell apart.
    pub noise_floor: Vec<NoiseFloor>,
    /// One entry a lesson, in teaching order.
    pub lessons: Vec<LessonReport>,
    /// The seed of the data and of every draw of requests.
    #[serde(default)]
    pub seed: u64,
    /// How long the run took.
    #[serde(default)]
    pub duration_s: Option<f64>,
    /// What the run was told and what it chose, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The lessons that this run wasn't asked for.
    #[serde(default)]
    pub left_out: Vec<String>,
}

/// The settings that say what was imported.
const IMPORTED_FILE: &str = "imported file";
const IMPORTED_SHA256: &str = "imported file, SHA-256";
const IMPORTED_PRODUCTS: &str = "imported products";

impl Report {
    /// Writes down which file the products are from.
    pub fn note_import(&mut self, file: String, sha256: String, products: u64) {
        self.settings.insert(IMPORTED_FILE.into(), file);
        self.settings.insert(IMPORTED_SHA256.into(), sha256);
        self.settings
            .insert(IMPORTED_PRODUCTS.into(), products.to_string());
    }

    /// What it ran on, in words.
    pub fn data(&self) -> String {
        let setting = |name: &str| self.settings.get(name).map(String::as_str);
        match (setting(IMPORTED_FILE), setting(IMPORTED_PRODUCTS)) {
            (Some(file), Some(products)) => {
                format!("imported from {file}: {products} products, seed {}", self.seed)
            }
            _ => format!("scale {}, seed {}", self.scale, self.seed),
        }
    }

    /// Whether it ran on products of a file, and not on generated ones.
    pub fn is_of_import(&self) -> bool {
        self.settings.contains_key(IMPORTED_FILE)
    }
}

/// How much was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Short slices: exact costs, CPU, medians, and the tail where the samples suffice.
    Quick,
    /// Longer slices, the tail and capacity for all.
    Full,
}

/// One metric of one arm measured against itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseFloor {
    /// What was measured.
    pub metric: Metric,
    /// Near 1 on a quiet machine.
    pub ratio: f64,
    /// A ratio between two arms whose interval touches this one is no measurable difference.
    pub ci95: [f64; 2],
    /// The lesson under whose plan it was measured.
    #[serde(default)]
    pub lesson: String,
    /// The ratio of each block.
    #[serde(default)]
    pub blocks: Vec<f64>,
}

/// One lesson's comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LessonReport {
    /// The name in `BACKSTOCK_VARIANTS`.
    pub name: String,
    /// What the comparison answers.
    pub question: String,
    /// The arm that others are compared with.
    pub baseline: String,
    /// The arm of the `optimized` preset.
    pub optimized: String,
    /// The arm of every other lesson while this one was compared.
    pub context: BTreeMap<String, String>,
    /// The proof that the switch acts, or `null` when the lesson was skipped.
    pub signature: Option<Signature>,
    /// Whether the arms answered alike, or `null` when the lesson was skipped.
    pub same_answers: Option<SameAnswers>,
    /// At least one; the first is the headline.
    pub scenarios: Vec<ScenarioReport>,
    /// What others claim for the technique, or `null`.
    pub claim: Option<Claim>,
    /// The claim beside the measurement.
    pub claim_verdict: Option<ClaimVerdict>,
    /// The explanation, from measured facts.
    pub why: String,
    /// What physics or the store itself allows.
    pub limit: Option<Limit>,
    /// What each arm costs to write.
    pub effort: Effort,
    /// Why the comparison is void, when it is.
    #[serde(default)]
    pub failed: Option<String>,
    /// Why the data cannot show this lesson, when it cannot. Then nothing was compared, and nothing failed.
    #[serde(default)]
    pub skipped: Option<String>,
    /// Every claim that was checked, the first of which is `claim`.
    #[serde(default)]
    pub claims: Vec<ClaimCheck>,
    /// What the page says besides: what an arm finds that the other does not, from which link speed it pays.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl LessonReport {
    /// Whether the comparison may be believed. One that was skipped claims nothing.
    pub fn holds(&self) -> bool {
        let acts = self.signature.as_ref().is_some_and(|signature| signature.holds);
        let alike = self.same_answers.as_ref().is_some_and(|same| same.different == 0);
        self.failed.is_none() && (self.skipped.is_some() || acts && alike)
    }
}

/// What was expected to show that the switch acts, and what showed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// Arm by arm.
    pub expected: String,
    /// Arm by arm.
    pub observed: String,
    /// Whether the observation is the expected one.
    pub holds: bool,
}

/// How many answers of the arms were compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SameAnswers {
    /// Requests that all arms answered.
    pub compared: u64,
    /// Requests that at least two arms answered differently.
    pub different: u64,
    /// The first difference.
    #[serde(default)]
    pub first_difference: Option<String>,
    /// What the comparison leaves out, and why.
    #[serde(default)]
    pub note: Option<String>,
}

/// What others claim for a technique.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// In our words.
    pub text: String,
    /// Before divided by after.
    pub ratio: f64,
}

/// A claim beside the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimVerdict {
    /// At least half of the claimed gain was measured.
    #[serde(rename = "confirmed")]
    Confirmed,
    /// Less was measured.
    #[serde(rename = "not here")]
    NotHere,
    /// The claim fails its own arithmetic, or holds only under conditions that it does not state.
    #[serde(rename = "misleading")]
    Misleading,
}

impl ClaimVerdict {
    /// As in `report.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ClaimVerdict::Confirmed => "confirmed",
            ClaimVerdict::NotHere => "not here",
            ClaimVerdict::Misleading => "misleading",
        }
    }
}

/// A claim, what was measured for it, and the judgement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimCheck {
    /// The claim.
    pub claim: Claim,
    /// What was measured: value, low and high end.
    pub measured: Option<[f64; 3]>,
    /// Where: scenario, metric and arms.
    pub measured_as: String,
    /// The judgement.
    pub verdict: Option<ClaimVerdict>,
    /// Why.
    pub reason: String,
}

/// What physics or the store itself allows in the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// What was measured as the limit.
    pub what: String,
    /// Its value, in `unit`.
    pub value: Option<f64>,
    /// The share that the optimized arm reached.
    pub reached: Option<f64>,
    /// For example `requests/s`.
    #[serde(default)]
    pub unit: String,
}

/// Lines of code, without blank lines and comments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// The baseline's file.
    pub lines_baseline: Option<u64>,
    /// The optimized arm's file.
    pub lines_optimized: Option<u64>,
    /// Every arm's file and its lines.
    #[serde(default)]
    pub files: BTreeMap<String, u64>,
}
