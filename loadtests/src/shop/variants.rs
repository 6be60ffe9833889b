//! Whether a shop runs what it was asked for: the first proof that a switch acts.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use storefront::variants::LESSONS;

#[derive(Deserialize)]
struct Active {
    lessons: HashMap<String, String>,
}

/// Compares the answer of `/internal/variants` with what was asked for.
pub(super) fn check(asked: &str, answer: &[u8]) -> Result<()> {
    let active: Active =
        serde_json::from_slice(answer).context("/internal/variants answers something else")?;
    let mut words = asked.split(',').map(str::trim);
    let preset = words.next().unwrap_or_default();
    let changes: HashMap<&str, &str> = words.filter_map(|change| change.split_once('=')).collect();
    for lesson in LESSONS {
        let of_preset = if preset == "baseline" {
            lesson.baseline
        } else {
            lesson.optimized
        };
        let expected = *changes.get(lesson.name).unwrap_or(&of_preset);
        match active.lessons.get(lesson.name) {
            Some(arm) if arm == expected => {}
            Some(arm) => bail!("asked for {}={expected}, the shop runs {arm}", lesson.name),
            None => bail!("the shop knows no lesson {}: build the api again", lesson.name),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(preset: impl Fn(&storefront::variants::Lesson) -> &'static str) -> String {
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
}
