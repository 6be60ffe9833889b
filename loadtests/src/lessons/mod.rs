//! What the lab knows of each lesson: the workloads under which its arms are compared, what proves that its switch
//! acts, what others claim for it, and what the measured numbers mean.
//!
//! One file a lesson. A lesson's [`Plan`] is data and small functions; how it is carried out is `compare`'s business.
//! Arms, question and context come from the product's own table, [`techniques::LESSONS`].
//!
//! Read next: `pagination.rs` as an example, `facts.rs` for where requests come from.

mod catalog_cache;
mod checkout;
mod claims;
mod command;
mod compression;
mod connections;
mod effort;
mod events;
mod facets;
mod facts;
mod indexes;
mod listing;
mod observation;
mod order_history;
mod order_lines;
mod pagination;
mod password_hashing;
mod planner_estimates;
mod projection;
mod reservation;
mod sales_counts;
mod scenario;
mod search;
mod sessions;
mod stock;
mod suitable;
mod trial;
mod welcome_email;
mod words;

pub use claims::{ClaimSpec, Direction, check as check_claim};
pub use command::Command;
pub use effort::count as count_effort;
pub use facts::Facts;
pub use observation::{Observation, Observations};
pub use scenario::{Before, Load, Once, Requests, Scenario, SlowOnes, Writes};
pub use suitable::{lesson_missing, waived};
pub use trial::{Course, Trial};

use techniques::{LESSONS, Lesson};

use crate::report::ScenarioReport;

/// How one lesson is compared.
pub struct Plan {
    /// The lesson, as the product declares it.
    pub lesson: &'static Lesson,
    /// Whether a run measures it that names no lessons: a reader meets these first, and all of them take about thirteen minutes.
    pub is_core: bool,
    /// The arms in the order of the report: the baseline first, the optimized one last.
    pub arms: Vec<&'static str>,
    /// The workloads; the first is the headline. They depend on how much data there is.
    pub scenarios: fn(&Facts) -> Vec<Scenario>,
    /// What must show of each arm, in words.
    pub expected: &'static str,
    /// Whether it shows. The error says what is missing.
    pub signature: fn(&Observations) -> Result<(), String>,
    /// What of the observation to print.
    pub observed: fn(&Observation) -> String,
    /// What others claim; the first is the lesson's claim.
    pub claims: &'static [ClaimSpec],
    /// Each arm's file, from the root of the repository.
    pub files: &'static [(&'static str, &'static str)],
    /// What the numbers mean: a paragraph, then notes.
    pub explain: fn(&[ScenarioReport], &Facts) -> Explanation,
    /// What the shops of this lesson get in their environment besides.
    pub environment: &'static [(&'static str, &'static str)],
    /// What the optimized arm is measured against.
    pub limit: LimitKind,
    /// What is shown of all arms beside numbers.
    pub exhibits: fn(&Facts) -> Vec<Exhibit>,
    /// What the answers' comparison leaves out, if anything.
    pub answers_note: Option<&'static str>,
}

impl Plan {
    /// Whether its scenarios are runs of whole shops, and their outcomes what is measured.
    pub fn is_of_trials(&self) -> bool {
        matches!(self.lesson.name, "stock" | "checkout" | "sales_counts" | "events")
    }
}

/// What differs between arms by nature, and is said in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exhibit {
    /// How many items each arm finds.
    ItemsFound {
        /// What the request shows.
        what: &'static str,
        /// The request.
        path: String,
    },
    /// What a request gets that brings the access token of a customer who has signed out.
    AfterSignOut {
        /// Their email.
        customer: String,
    },
}

/// What the optimized arm of a lesson is measured against in the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// Postgres alone, running the same statements.
    SameStatements,
    /// Redis alone, getting values of the same size.
    RedisGet,
    /// A bare route that serves the same bytes from memory.
    SameBytes,
    /// Nothing: what it does besides asking its stores is most of its time, or it cannot be asked twice.
    None,
}

/// What the measured numbers mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// One paragraph.
    pub why: String,
    /// Further facts, a paragraph each.
    pub notes: Vec<String>,
}

/// The plan of every lesson, in teaching order.
pub fn plans() -> Vec<Plan> {
    LESSONS.iter().filter_map(plan).collect()
}

/// The plan of a lesson. `None` when the lab has no scenarios for it yet.
pub fn plan(lesson: &'static Lesson) -> Option<Plan> {
    match lesson.name {
        "indexes" => Some(indexes::plan(lesson)),
        "pagination" => Some(pagination::plan(lesson)),
        "listing" => Some(listing::plan(lesson)),
        "projection" => Some(projection::plan(lesson)),
        "search" => Some(search::plan(lesson)),
        "planner_estimates" => Some(planner_estimates::plan(lesson)),
        "facets" => Some(facets::plan(lesson)),
        "catalog_cache" => Some(catalog_cache::plan(lesson)),
        "connections" => Some(connections::plan(lesson)),
        "compression" => Some(compression::plan(lesson)),
        "sessions" => Some(sessions::plan(lesson)),
        "password_hashing" => Some(password_hashing::plan(lesson)),
        "order_history" => Some(order_history::plan(lesson)),
        "order_lines" => Some(order_lines::plan(lesson)),
        "welcome_email" => Some(welcome_email::plan(lesson)),
        "stock" => Some(stock::plan(lesson)),
        "reservation" => Some(reservation::plan(lesson)),
        "checkout" => Some(checkout::plan(lesson)),
        "sales_counts" => Some(sales_counts::plan(lesson)),
        "events" => Some(events::plan(lesson)),
        _ => None,
    }
}

/// Whether a lesson's shops pay or send mail. Those of trials have third parties of their own.
pub fn needs_third_parties(lesson: &str) -> bool {
    matches!(lesson, "order_lines" | "reservation" | "welcome_email")
}

/// The arms of a lesson in the order of a report: the preset's baseline, further baselines, the optimized arm.
fn arms_of(lesson: &'static Lesson) -> Vec<&'static str> {
    let between = lesson
        .arms
        .iter()
        .map(|arm| arm.name)
        .filter(|arm| *arm != lesson.baseline && *arm != lesson.optimized);
    std::iter::once(lesson.baseline)
        .chain(between)
        .chain((lesson.optimized != lesson.baseline).then_some(lesson.optimized))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lesson_of_the_product_has_a_plan() {
        let planned: Vec<&str> = plans().iter().map(|plan| plan.lesson.name).collect();
        let known: Vec<&str> = LESSONS.iter().map(|lesson| lesson.name).collect();
        assert_eq!(planned, known);
    }

    #[test]
    fn twelve_lessons_are_the_core() {
        assert_eq!(plans().iter().filter(|plan| plan.is_core).count(), 12);
    }

    #[test]
    fn every_lesson_has_scenarios_with_names_of_their_own_that_ask_for_something() {
        let facts = Facts::for_tests();
        for plan in plans() {
            let scenarios = (plan.scenarios)(&facts);
            let mut names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
            assert!(!names.is_empty(), "{} has no scenario", plan.lesson.name);
            names.sort_unstable();
            names.dedup();
            assert_eq!(
                names.len(),
                scenarios.len(),
                "{} names a scenario twice",
                plan.lesson.name
            );
            for scenario in &scenarios {
                assert!(
                    scenario.has_requests(),
                    "{}: {} asks for nothing",
                    plan.lesson.name,
                    scenario.name
                );
            }
        }
    }

    #[test]
    fn the_baseline_comes_first_and_the_optimized_arm_last() {
        for plan in plans() {
            assert_eq!(plan.arms.first(), Some(&plan.lesson.baseline));
            assert_eq!(plan.arms.last(), Some(&plan.lesson.optimized));
            assert_eq!(plan.arms.len(), plan.lesson.arms.len());
        }
    }
}
