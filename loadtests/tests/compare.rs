//! The command line of the lab: what is refused before anything is started, and what tools read from it.

use std::process::{Command, Output};

use techniques::LESSONS;

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backstock-lab"))
        .args(arguments)
        .output()
        .expect("the lab's binary was built with this test")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_unknown_lesson_is_wrong_use_and_answered_with_those_that_exist() {
    let output = lab(&["compare", "--lesson", "sharding"]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    for lesson in LESSONS {
        assert!(message.contains(lesson.name), "{message}");
    }
}

#[test]
fn all_lessons_and_one_are_not_asked_for_together() {
    let output = lab(&["compare", "--all", "--lesson", "events"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--lesson"), "{}", stderr(&output));
}

#[test]
fn a_recorded_name_stays_in_its_folder() {
    let output = lab(&["compare", "--record", "../elsewhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("../elsewhere"));
}

#[test]
#[cfg(not(feature = "baselines"))]
fn a_build_without_baselines_has_nothing_to_compare() {
    let output = lab(&["compare"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no baselines"));
}

#[test]
fn lessons_are_listed_as_json() {
    let output = lab(&["lessons", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let lessons: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the list is JSON");
    let names: Vec<&str> = lessons
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|lesson| lesson["name"].as_str())
        .collect();
    let known: Vec<&str> = LESSONS.iter().map(|lesson| lesson.name).collect();
    assert_eq!(names, known);
    let core = lessons.as_array().expect("a list").iter();
    assert_eq!(core.filter(|lesson| lesson["core"] == true).count(), 12);
}

#[test]
fn a_record_that_is_missing_is_named() {
    let output = lab(&["report", "/nowhere/report.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nowhere/report.json"));
}
