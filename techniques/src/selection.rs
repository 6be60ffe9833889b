//! Parses and prints the arms that a process runs: a preset, then changes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::{LESSONS, Selection};

/// Why a selection is invalid. The messages list what exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSelectionError {
    #[error("unknown preset `{0}`; presets are `optimized` and `baseline`, changes follow as `lesson=arm`")]
    UnknownPreset(String),
    #[error("`{0}` is not of the form `lesson=arm`, for example `optimized,pagination=offset`")]
    Malformed(String),
    #[error("unknown lesson `{lesson}`; lessons are: {}", lesson_names())]
    UnknownLesson { lesson: String },
    /// The lesson has no such arm in this build.
    #[error(
        "lesson `{lesson}` has no arm `{arm}`{}; its arms are: {}",
        bare_build_note(),
        arm_names(lesson)
    )]
    UnknownArm { lesson: &'static str, arm: String },
    #[error("lesson `{0}` is set twice; name each lesson once")]
    SetTwice(&'static str),
}

fn lesson_names() -> String {
    LESSONS
        .iter()
        .map(|lesson| lesson.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn arm_names(lesson: &str) -> String {
    let arms = LESSONS
        .iter()
        .find(|known| known.name == lesson)
        .map_or(&[][..], |known| known.arms);
    arms.iter().map(|arm| arm.name).collect::<Vec<_>>().join(", ")
}

fn bare_build_note() -> &'static str {
    if cfg!(feature = "baselines") {
        ""
    } else {
        " (this build has no baselines)"
    }
}

/// The selection that changes are applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Every lesson at its optimized arm.
    Optimized,
    /// Every lesson at its baseline arm.
    Baseline,
}

impl Preset {
    /// The name in `BACKSTOCK_VARIANTS`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Preset::Optimized => "optimized",
            Preset::Baseline => "baseline",
        }
    }
}

impl Selection {
    /// Lessons and arms as a sorted map, for JSON.
    pub fn to_map(&self) -> BTreeMap<&'static str, &'static str> {
        self.arms().collect()
    }

    /// Shows the arms in the metrics, as labels of a gauge.
    pub fn record_metrics(&self) {
        metrics::describe_gauge!(
            "backstock_variant_info",
            "The arm of each lesson that this process runs; always 1."
        );
        for (lesson, arm) in self.arms() {
            metrics::gauge!("backstock_variant_info", "lesson" => lesson, "arm" => arm).set(1.0);
        }
    }
}

impl Default for Selection {
    fn default() -> Self {
        Self::optimized()
    }
}

impl FromStr for Selection {
    type Err = ParseSelectionError;

    /// Parses a preset followed by changes: `optimized`, `baseline,pagination=cursor`. Without a preset,
    /// `optimized` is implied.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .peekable();
        let mut selection = match words.peek() {
            None => return Ok(Self::optimized()),
            Some(word) if word.contains('=') => Self::optimized(),
            Some(word) => {
                let selection = preset(word)?;
                words.next();
                selection
            }
        };
        let mut changed = Vec::new();
        for word in words {
            let (lesson, arm) = word
                .split_once('=')
                .ok_or_else(|| ParseSelectionError::Malformed(word.to_owned()))?;
            let lesson = selection.set(lesson.trim(), arm.trim())?;
            if changed.contains(&lesson) {
                return Err(ParseSelectionError::SetTwice(lesson));
            }
            changed.push(lesson);
        }
        Ok(selection)
    }
}

fn preset(name: &str) -> Result<Selection, ParseSelectionError> {
    match name {
        "optimized" => Ok(Selection::optimized()),
        #[cfg(feature = "baselines")]
        "baseline" => Ok(Selection::baseline()),
        other => Err(ParseSelectionError::UnknownPreset(other.to_owned())),
    }
}

/// The canonical text: the preset and the differences from it.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = preset(self.preset.as_str()).unwrap_or_default();
        f.write_str(self.preset.as_str())?;
        for ((lesson, arm), (_, unchanged)) in self.arms().zip(start.arms()) {
            if arm != unchanged {
                write!(f, ",{lesson}={arm}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_text_is_the_optimized_preset() {
        assert_eq!("".parse(), Ok(Selection::optimized()));
        assert_eq!("optimized".parse(), Ok(Selection::optimized()));
    }

    #[test]
    #[cfg(feature = "baselines")]
    fn changes_apply_to_the_preset_and_show_in_the_canonical_text() {
        let selection: Selection = " baseline , pagination=cursor ".parse().unwrap();
        assert_eq!(selection.pagination, crate::Pagination::Cursor);
        assert_eq!(selection.indexes, crate::Indexes::ForeignKeys);
        assert_eq!(selection.to_string(), "baseline,pagination=cursor");
        assert_eq!(selection.to_string().parse(), Ok(selection));
    }

    #[test]
    fn errors_list_the_valid_names() {
        let fault = |text: &str| text.parse::<Selection>().unwrap_err().to_string();
        assert!(fault("fastest").contains("`optimized` and `baseline`"));
        assert!(fault("optimized,pages=cursor").contains("indexes, pagination, listing"));
        assert!(fault("optimized,pagination=keyset").contains("cursor"));
        assert!(fault("optimized,pagination").contains("lesson=arm"));
        assert!(fault("pagination=cursor,pagination=cursor").contains("twice"));
    }

    #[test]
    #[cfg(not(feature = "baselines"))]
    fn a_build_without_baselines_has_one_arm_per_lesson() {
        for lesson in LESSONS {
            assert_eq!(lesson.arms.len(), 1, "{} still has baselines", lesson.name);
        }
        let fault = "pagination=offset".parse::<Selection>().unwrap_err().to_string();
        assert!(fault.contains("this build has no baselines"));
    }
}
