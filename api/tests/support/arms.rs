//! Which variants a test runs under, taken from the table of lessons.

use std::sync::Arc;

use storefront::variants::{Indexes, LESSONS, Lesson, Variants};

use super::database::{Content, Database};

pub fn lesson(name: &str) -> &'static Lesson {
    LESSONS.iter().find(|lesson| lesson.name == name).unwrap()
}

/// Whether this build contains the arm.
pub fn has_arm(lesson_name: &str, arm: &str) -> bool {
    lesson(lesson_name).arms.iter().any(|known| known.name == arm)
}

/// One arm of a lesson, all other lessons as the lesson's comparison has them.
pub fn arm(lesson: &Lesson, arm: &str) -> Variants {
    let mut text = "optimized".to_owned();
    for (other, other_arm) in lesson.context {
        // A build without baselines has no arm to make the context with.
        if has_arm(other, other_arm) {
            text.extend([",", other, "=", other_arm]);
        }
    }
    text.extend([",", lesson.name, "=", arm]);
    text.parse().unwrap()
}

/// All arms of a lesson, the baselines first.
pub fn arms_of(name: &str) -> Vec<Variants> {
    let lesson = lesson(name);
    lesson.arms.iter().map(|each| arm(lesson, each.name)).collect()
}

/// The presets, and every arm of every lesson; none twice.
pub fn every_arm() -> Vec<Variants> {
    let mut all = vec![Variants::optimized()];
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

/// A database with the catalogue for each index set that the variants name, to be read only.
pub struct Databases(Vec<(Indexes, Arc<Database>)>);

impl Databases {
    pub async fn of(all: &[Variants]) -> Self {
        let mut databases: Vec<(Indexes, Arc<Database>)> = Vec::new();
        for variants in all {
            if databases.iter().all(|(indexes, _)| *indexes != variants.indexes) {
                let database = Database::new(Content::Catalogue, variants.indexes).await;
                databases.push((variants.indexes, Arc::new(database)));
            }
        }
        Self(databases)
    }

    pub fn get(&self, variants: &Variants) -> Arc<Database> {
        let found = self.0.iter().find(|(indexes, _)| *indexes == variants.indexes);
        found.unwrap().1.clone()
    }
}
