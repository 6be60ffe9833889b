//! The lessons and their arms: the one place that parses switches.
//!
//! A *lesson* is a technique with two or more *arms*, ways to do the same thing. [`Variants`] is the arm of
//! each lesson that this process runs; it is parsed once, at startup, and the api builds its router,
//! components and layers from it. No request ever reads it. README, `--help`, `/internal/variants` and the
//! lab are generated from the table [`LESSONS`].
//!
//! Read next: `table.rs`, which declares them, then the arms themselves, each in a file named after its
//! technique, in the api's slices.

mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

pub use self::table::*;

/// A row of [`LESSONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lesson {
    /// The name in `BACKSTOCK_VARIANTS`, for example `pagination`.
    pub name: &'static str,
    /// What the lesson switches, in one line.
    pub summary: &'static str,
    /// The question that the comparison answers.
    pub question: &'static str,
    /// Where the arm is selected.
    pub switch_point: SwitchPoint,
    /// The arms of this build, baselines first, the optimized one last.
    pub arms: &'static [Arm],
    /// The arm of the `baseline` preset. Equal to `optimized` in a build without baselines.
    pub baseline: &'static str,
    /// The arm of the `optimized` preset.
    pub optimized: &'static str,
    /// Arms that *other* lessons need for this one to have an effect, as (lesson, arm). All others run their
    /// optimized arm while this one is compared.
    pub context: &'static [(&'static str, &'static str)],
}

/// One way to implement a lesson's technique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arm {
    /// The name in `BACKSTOCK_VARIANTS`, for example `cursor`.
    pub name: &'static str,
    /// What this arm does, in one line.
    pub summary: &'static str,
}

/// Where the arm of a lesson is selected, from the outermost in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwitchPoint {
    /// A set of indexes in the database, applied by `backstock-api migrate --indexes ARM`.
    Database,
    /// A middleware layer.
    Layer,
    /// The handler function of a route.
    Handler,
    /// A component in the application's state.
    Component,
}

impl fmt::Display for SwitchPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SwitchPoint::Database => "database",
            SwitchPoint::Layer => "layer",
            SwitchPoint::Handler => "handler",
            SwitchPoint::Component => "component",
        })
    }
}

/// Why a selection is invalid. The messages list what exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseVariantsError {
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

impl Variants {
    /// Lessons and arms as a sorted map, for JSON.
    pub fn to_map(&self) -> BTreeMap<&'static str, &'static str> {
        self.arms().collect()
    }
}

impl Default for Variants {
    fn default() -> Self {
        Self::optimized()
    }
}

impl FromStr for Variants {
    type Err = ParseVariantsError;

    /// Parses a preset followed by changes: `optimized`, `baseline,pagination=cursor`. Without a preset,
    /// `optimized` is implied.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .peekable();
        let mut variants = match words.peek() {
            None => return Ok(Self::optimized()),
            Some(word) if word.contains('=') => Self::optimized(),
            Some(word) => {
                let variants = preset(word)?;
                words.next();
                variants
            }
        };
        let mut changed = Vec::new();
        for word in words {
            let (lesson, arm) = word
                .split_once('=')
                .ok_or_else(|| ParseVariantsError::Malformed(word.to_owned()))?;
            let lesson = variants.set(lesson.trim(), arm.trim())?;
            if changed.contains(&lesson) {
                return Err(ParseVariantsError::SetTwice(lesson));
            }
            changed.push(lesson);
        }
        Ok(variants)
    }
}

fn preset(name: &str) -> Result<Variants, ParseVariantsError> {
    match name {
        "optimized" => Ok(Variants::optimized()),
        #[cfg(feature = "baselines")]
        "baseline" => Ok(Variants::baseline()),
        other => Err(ParseVariantsError::UnknownPreset(other.to_owned())),
    }
}

/// The canonical text: the preset and the differences from it.
impl fmt::Display for Variants {
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
        assert_eq!("".parse(), Ok(Variants::optimized()));
        assert_eq!("optimized".parse(), Ok(Variants::optimized()));
    }

    #[test]
    #[cfg(feature = "baselines")]
    fn changes_apply_to_the_preset_and_show_in_the_canonical_text() {
        let variants: Variants = " baseline , pagination=cursor ".parse().unwrap();
        assert_eq!(variants.pagination, Pagination::Cursor);
        assert_eq!(variants.indexes, Indexes::ForeignKeys);
        assert_eq!(variants.to_string(), "baseline,pagination=cursor");
        assert_eq!(variants.to_string().parse(), Ok(variants));
    }

    #[test]
    fn errors_list_the_valid_names() {
        let fault = |text: &str| text.parse::<Variants>().unwrap_err().to_string();
        assert!(fault("fastest").contains("`optimized` and `baseline`"));
        assert!(fault("optimized,pages=cursor").contains("indexes, pagination, listing"));
        assert!(fault("optimized,pagination=keyset").contains("cursor"));
        assert!(fault("optimized,pagination").contains("lesson=arm"));
        assert!(fault("pagination=cursor,pagination=cursor").contains("twice"));
    }

    #[test]
    fn every_context_names_lessons_and_arms_that_exist() {
        for lesson in LESSONS {
            assert!(lesson.arms.iter().any(|arm| arm.name == lesson.baseline));
            assert_eq!(lesson.arms.last().map(|arm| arm.name), Some(lesson.optimized));
            for (other, arm) in lesson.context {
                let other = LESSONS
                    .iter()
                    .find(|known| known.name == *other)
                    .expect("a known lesson");
                let known = other.arms.iter().any(|known| known.name == *arm);
                assert!(
                    known || !cfg!(feature = "baselines"),
                    "{}: {}={arm}",
                    lesson.name,
                    other.name
                );
            }
        }
    }

    #[test]
    #[cfg(not(feature = "baselines"))]
    fn a_build_without_baselines_has_one_arm_per_lesson() {
        for lesson in LESSONS {
            assert_eq!(lesson.arms.len(), 1, "{} still has baselines", lesson.name);
        }
        let fault = "pagination=offset".parse::<Variants>().unwrap_err().to_string();
        assert!(fault.contains("this build has no baselines"));
    }
}
