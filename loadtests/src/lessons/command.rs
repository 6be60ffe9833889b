//! `backstock-lab lessons`: what can be compared.

use anyhow::Result;
use serde_json::json;
use techniques::{LESSONS, Lesson};

use super::plan;

/// Lists the lessons, their arms, joints, contexts and questions, and which `compare` measures when it is given none.
#[derive(Debug, clap::Args)]
pub struct Command {
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

impl Command {
    /// Prints the list.
    pub fn run(self) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(&as_json())?);
        } else {
            print!("{}", as_text());
        }
        Ok(())
    }
}

fn as_json() -> serde_json::Value {
    let lessons = LESSONS.iter().map(|lesson| {
        let arms = lesson
            .arms
            .iter()
            .map(|arm| json!({ "name": arm.name, "summary": arm.summary }));
        let context: serde_json::Map<String, serde_json::Value> = lesson
            .context
            .iter()
            .map(|(other, arm)| ((*other).to_owned(), json!(arm)))
            .collect();
        json!({
            "name": lesson.name,
            "summary": lesson.summary,
            "question": lesson.question,
            "core": is_core(lesson),
            "joint": lesson.switch_point.to_string(),
            "baseline": lesson.baseline,
            "optimized": lesson.optimized,
            "arms": arms.collect::<Vec<_>>(),
            "context": context,
        })
    });
    json!(lessons.collect::<Vec<_>>())
}

fn is_core(lesson: &'static Lesson) -> bool {
    plan(lesson).is_some_and(|plan| plan.is_core)
}

fn as_text() -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for lesson in LESSONS {
        let write = &mut text;
        let core = if is_core(lesson) { " (core)" } else { "" };
        let _ = writeln!(write, "{}{core}: {}", lesson.name, lesson.question);
        for arm in lesson.arms {
            let role = match arm.name {
                name if name == lesson.optimized => " (optimized)",
                name if name == lesson.baseline => " (baseline)",
                _ => "",
            };
            let _ = writeln!(write, "    {}{role}: {}", arm.name, arm.summary);
        }
        let context: Vec<String> = lesson
            .context
            .iter()
            .map(|(other, arm)| format!("{other}={arm}"))
            .collect();
        let context = if context.is_empty() {
            "everything else optimized".to_owned()
        } else {
            context.join(", ")
        };
        let _ = writeln!(write, "    joint: {}; context: {context}\n", lesson.switch_point);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_lesson_with_its_arms() {
        let (text, json) = (as_text(), as_json());
        for lesson in LESSONS {
            assert!(text.contains(lesson.question), "{}", lesson.name);
        }
        assert_eq!(json.as_array().unwrap().len(), LESSONS.len());
        assert!(json[0]["arms"].as_array().is_some_and(|arms| !arms.is_empty()));
    }
}
