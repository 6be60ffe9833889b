//! Whether a shop runs what it was asked for: the first proof that a switch acts.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use techniques::LESSONS;

#[derive(Deserialize)]
struct Active {
    lessons: HashMap<String, String>,
}

/// Compares the answer of `/internal/variants` with what this build was asked for: it runs an arm of every lesson.
pub(super) fn check(asked: &str, answer: &[u8]) -> Result<()> {
    let active = Active::read(answer)?;
    let named: HashMap<&str, &str> = named(asked).collect();
    let is_baseline = asked.split(',').next().map(str::trim) == Some("baseline");
    LESSONS.iter().try_for_each(|lesson| {
        let of_preset = if is_baseline {
            lesson.baseline
        } else {
            lesson.optimized
        };
        active.expect(lesson.name, named.get(lesson.name).copied().unwrap_or(of_preset))
    })
}

/// The same of another build, whose lessons and presets are its own: it runs the arms that it was asked for by name.
pub(super) fn check_named(asked: &str, answer: &[u8]) -> Result<()> {
    let active = Active::read(answer)?;
    named(asked).try_for_each(|(lesson, arm)| active.expect(lesson, arm))
}

fn named(asked: &str) -> impl Iterator<Item = (&str, &str)> {
    asked
        .split(',')
        .filter_map(|change| change.trim().split_once('='))
}

impl Active {
    fn read(answer: &[u8]) -> Result<Active> {
        serde_json::from_slice(answer).context("/internal/variants answers something else")
    }

    fn expect(&self, lesson: &str, expected: &str) -> Result<()> {
        match self.lessons.get(lesson) {
            Some(arm) if arm == expected => Ok(()),
            Some(arm) => bail!("asked for {lesson}={expected}, the shop runs {arm}"),
            None => bail!("the shop knows no lesson {lesson}: build the api again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(preset: impl Fn(&techniques::Lesson) -> &'static str) -> String {
        let lessons: HashMap<_, _> = LESSONS
            .iter()
            .map(|lesson| (lesson.name, preset(lesson)))
            .collect();
        serde_json::json!({ "preset": "any", "lessons": lessons }).to_string()
    }

    #[test]
    fn presets_are_recognized() {
        let optimized = answer(|lesson| lesson.optimized);
        check("optimized", optimized.as_bytes()).unwrap();
        check("baseline", answer(|lesson| lesson.baseline).as_bytes()).unwrap();
        assert!(check("optimized", br#"{"lessons":{}}"#).is_err());
        assert!(check("optimized", b"<html>").is_err());
    }

    #[test]
    fn a_switch_that_did_not_act_is_named() {
        let optimized = answer(|lesson| lesson.optimized);
        check("optimized, pagination=cursor", optimized.as_bytes()).unwrap();
        let error = check("optimized,pagination=offset", optimized.as_bytes())
            .unwrap_err()
            .to_string();
        assert_eq!(error, "asked for pagination=offset, the shop runs cursor");
    }

    #[test]
    fn another_build_is_held_to_what_it_was_asked_for_by_name() {
        let older = br#"{"lessons":{"catalog_cache":"none","pagination":"offset"}}"#;
        assert!(check("optimized,catalog_cache=none", older).is_err());
        check_named("optimized,catalog_cache=none", older).unwrap();
        check_named("optimized", older).unwrap();
        let error = check_named("optimized, pagination=cursor", older).unwrap_err();
        assert_eq!(
            error.to_string(),
            "asked for pagination=cursor, the shop runs offset"
        );
        let error = check_named("optimized,facets=columns", older)
            .unwrap_err()
            .to_string();
        assert!(error.contains("no lesson facets"), "{error}");
    }
}
