//! Runs a test under arms of the table of lessons.

use techniques::{LESSONS, Selection};

tokio::task_local! {
    static SELECTION: Selection;
}

/// The selection that the test's workers run.
pub fn selection() -> Selection {
    SELECTION.try_with(|selection| *selection).unwrap_or_default()
}

/// Runs a test under each arm of a lesson, baselines first.
pub async fn each_arm(lesson_name: &str, test: impl AsyncFn()) {
    let lesson = LESSONS.iter().find(|lesson| lesson.name == lesson_name);
    for arm in lesson.unwrap().arms {
        with_arm(lesson_name, arm.name, &test).await;
    }
}

/// Runs `body` under one arm of a lesson.
pub async fn with_arm<T>(lesson_name: &str, arm_name: &str, body: impl AsyncFnOnce() -> T) -> T {
    let selection = format!("optimized,{lesson_name}={arm_name}").parse().unwrap();
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
