//! The lessons and their arms: the one place that parses switches.
//!
//! A *lesson* is a technique with two or more *arms*, ways to do the same thing. [`Variants`] says which arm of
//! each lesson this process runs; it is parsed once, at start-up, and from it the api builds its router, its
//! components and its layers. No request ever reads it. [`LESSONS`] is the table from which the README, `--help`,
//! `/internal/variants` and the lab take what they say about lessons.
//!
//! Read next: `table.rs`, which declares them, then the arms themselves, each in a file of its own, named after the technique, in the api's slices.

mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

pub use self::table::*;

/// One row of [`LESSONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lesson {
    /// The name in `BACKSTOCK_VARIANTS`, for example `pagination`.
    pub name: &'static str,
    /// One line: what the lesson switches.
    pub summary: &'static str,
    /// The question that the comparison answers.
    pub question: &'static str,
    /// Where the arms are told apart.
    pub joint: Joint,
    /// All arms that this build contains, the baselines first, the optimized one last.
    pub arms: &'static [Arm],
    /// The arm of the `baseline` preset. Equal to `optimized` in a build without baselines.
    pub baseline: &'static str,
    /// The arm of the `optimized` preset.
    pub optimized: &'static str,
    /// The arms that *other* lessons must have for this one to be seen at all, as (lesson, arm).
    /// Every lesson that is not named here runs its optimized arm while this one is compared.
    pub context: &'static [(&'static str, &'static str)],
}

/// One way to do what a lesson is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arm {
    /// The name in `BACKSTOCK_VARIANTS`, for example `cursor`.
    pub name: &'static str,
    /// One line: what this arm does.
    pub summary: &'static str,
}

/// Where the arms of a lesson are told apart, from the outermost in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joint {
    /// A set of indexes in the database, applied by `backstock-api migrate --indexes ARM`.
    Database,
    /// A middleware layer.
    Layer,
    /// The handler function of a route.
    Handler,
    /// A component in the application's state.
    Component,
}

impl fmt::Display for Joint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Joint::Database => "database",
            Joint::Layer => "layer",
            Joint::Handler => "handler",
            Joint::Component => "component",
        })
    }
}

/// Why a text is not a valid choice of variants. Its message lists what exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseVariantsError {
    /// The first word is no preset.
    #[error("unknown preset `{0}`; presets are `optimized` and `baseline`, changes follow as `lesson=arm`")]
    UnknownPreset(String),
    /// A change is not of the form `lesson=arm`.
    #[error("`{0}` is not of the form `lesson=arm`, for example `optimized,pagination=offset`")]
    Malformed(String),
    /// No lesson of that name.
    #[error("unknown lesson `{lesson}`; lessons are: {}", lesson_names())]
    UnknownLesson {
        /// What was asked for.
        lesson: String,
    },
    /// The lesson has no such arm in this build.
    #[error(
        "lesson `{lesson}` has no arm `{arm}`{}; its arms are: {}",
        bare_build_note(),
        arm_names(lesson)
    )]
    UnknownArm {
        /// The lesson.
        lesson: &'static str,
        /// What was asked for.
        arm: String,
    },
    /// A lesson is changed twice.
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

/// The choice that changes are applied to.
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

    /// Parses a preset followed by changes: `optimized`, `baseline,pagination=cursor`. A text that starts with a
    /// change starts from `optimized`; so does the empty text.
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

/// The canonical text: the preset and what differs from it.
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
    fn faults_say_what_exists() {
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
    fn the_bare_build_has_one_arm_a_lesson() {
        for lesson in LESSONS {
            assert_eq!(lesson.arms.len(), 1, "{} still has baselines", lesson.name);
        }
        let fault = "pagination=offset".parse::<Variants>().unwrap_err().to_string();
        assert!(fault.contains("this build has no baselines"));
    }
}
