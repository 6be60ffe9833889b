//! The arms that a test runs under, from the table of lessons.

use std::sync::Arc;

use techniques::{Indexes, LESSONS, Lesson, Selection};

use super::database::{Content, Database};

pub fn lesson(name: &str) -> &'static Lesson {
    LESSONS.iter().find(|lesson| lesson.name == name).unwrap()
}

/// Whether this build includes the arm: baselines are behind a feature.
pub fn has_arm(lesson_name: &str, arm: &str) -> bool {
    lesson(lesson_name).arms.iter().any(|known| known.name == arm)
}

/// One arm of a lesson. The other lessons have the arms of its comparison.
pub fn arm(lesson: &Lesson, arm: &str) -> Selection {
    let mut text = "optimized".to_owned();
    for (other, other_arm) in lesson.context {
        // Without the feature `baselines`, the arm for this context is missing.
        if has_arm(other, other_arm) {
            text.extend([",", other, "=", other_arm]);
        }
    }
    text.extend([",", lesson.name, "=", arm]);
    text.parse().unwrap()
}

/// All arms of a lesson, baselines first. The arms of `stock` and `order_lines` are compared with `multi_statement`, so the
/// default of an order, which is no arm of theirs, comes last.
pub fn arms_of(name: &str) -> Vec<Selection> {
    let lesson = lesson(name);
    let mut arms: Vec<Selection> = lesson.arms.iter().map(|each| arm(lesson, each.name)).collect();
    let is_default = |arm: &Selection| arm.arms().eq(Selection::optimized().arms());
    let is_without_default = lesson.context.iter().any(|(other, _)| *other == "reservation");
    if is_without_default && !arms.iter().any(is_default) {
        arms.push(Selection::optimized());
    }
    arms
}

/// The presets and every arm of every lesson, without duplicates.
pub fn every_arm() -> Vec<Selection> {
    let mut all = vec![Selection::optimized()];
    if let Ok(baseline) = "baseline".parse() {
        all.push(baseline);
    }
    for lesson in LESSONS {
        for variants in arms_of(lesson.name) {
            if all.iter().all(|known| !known.arms().eq(variants.arms())) {
                all.push(variants);
            }
        }
    }
    all
}

/// One catalogue database per index set in use. Tests share it, so it is read-only.
pub struct Databases(Vec<(Indexes, Arc<Database>)>);

impl Databases {
    pub async fn new(all: &[Selection]) -> Self {
        let mut databases: Vec<(Indexes, Arc<Database>)> = Vec::new();
        for variants in all {
            if databases.iter().all(|(indexes, _)| *indexes != variants.indexes) {
                let database = Database::new(Content::Catalogue, variants.indexes).await;
                databases.push((variants.indexes, Arc::new(database)));
            }
        }
        Self(databases)
    }

    pub fn get(&self, variants: &Selection) -> Arc<Database> {
        let found = self.0.iter().find(|(indexes, _)| *indexes == variants.indexes);
        found.unwrap().1.clone()
    }
}
