//! Runs a test under arms of the table of lessons.

use std::cell::RefCell;
use std::sync::Arc;

use techniques::{LESSONS, Lesson, Selection};

use super::database::Database;

tokio::task_local! {
    static SELECTION: Selection;
    /// Databases that the runs of a test share. They are dropped after the last run.
    static SHARED: RefCell<Vec<Arc<Database>>>;
}

/// The selection that the test runs under.
pub fn selection() -> Selection {
    SELECTION.try_with(|selection| *selection).unwrap_or_default()
}

/// Runs a test under each arm of these lessons, which are separated by commas. Baselines come first.
pub async fn each_arm(lessons: &str, test: impl AsyncFn()) {
    run_all(lessons.split(',').flat_map(arms_of), test).await;
}

/// Runs a test under the presets and each arm of each lesson.
pub async fn every_arm(test: impl AsyncFn()) {
    let presets = ["optimized", "baseline"];
    // Without the feature `baselines`, there is one preset.
    let presets = presets.into_iter().filter_map(|preset| preset.parse().ok());
    run_all(
        presets.chain(LESSONS.iter().flat_map(|lesson| arms_of(lesson.name))),
        test,
    )
    .await;
}

/// Runs `body` under one arm of a lesson.
pub async fn with_arm<T>(lesson_name: &str, arm_name: &str, body: impl AsyncFnOnce() -> T) -> T {
    run(arm(lesson(lesson_name), arm_name), body).await
}

/// Runs `body` under a selection, for example `baseline,connections=pooled`.
pub async fn with_selection<T>(text: &str, body: impl AsyncFnOnce() -> T) -> T {
    run(text.parse().unwrap(), body).await
}

/// Runs a test under these selections, without duplicates.
async fn run_all(selections: impl Iterator<Item = Selection>, test: impl AsyncFn()) {
    let all_runs = async {
        let mut done: Vec<Selection> = Vec::new();
        for selection in selections {
            if done.iter().all(|known| !known.arms().eq(selection.arms())) {
                run(selection, &test).await;
                done.push(selection);
            }
        }
    };
    SHARED.scope(RefCell::default(), all_runs).await;
}

pub async fn run<T>(selection: Selection, body: impl AsyncFnOnce() -> T) -> T {
    let _named = NamedInPanic(selection);
    SELECTION.scope(selection, body()).await
}

/// Prints the selection that a test failed under.
struct NamedInPanic(Selection);

impl Drop for NamedInPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed under the selection {}", self.0);
        }
    }
}

/// Keeps a shared database for the other runs of the test.
pub fn keep(database: &Arc<Database>) {
    let _ = SHARED.try_with(|shared| shared.borrow_mut().push(database.clone()));
}

fn lesson(name: &str) -> &'static Lesson {
    LESSONS.iter().find(|lesson| lesson.name == name).unwrap()
}

/// One arm of a lesson. The other lessons have the arms of its comparison.
fn arm(lesson: &Lesson, arm: &str) -> Selection {
    let mut text = "optimized".to_owned();
    for (other, other_arm) in lesson.context {
        // Without the feature `baselines`, the arm for this context is missing.
        if self::lesson(other)
            .arms
            .iter()
            .any(|known| known.name == *other_arm)
        {
            text.extend([",", other, "=", other_arm]);
        }
    }
    text.extend([",", lesson.name, "=", arm]);
    text.parse().unwrap()
}

/// All arms of a lesson. The arms of `stock` and `order_lines` are compared with `multi_statement`, so the default of
/// an order, which is no arm of theirs, comes last.
pub fn arms_of(lesson_name: &str) -> Vec<Selection> {
    let lesson = lesson(lesson_name);
    let mut arms: Vec<Selection> = lesson.arms.iter().map(|each| arm(lesson, each.name)).collect();
    if lesson.context.iter().any(|(other, _)| *other == "reservation") {
        arms.push(Selection::optimized());
    }
    arms
}
