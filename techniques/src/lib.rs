//! The lessons and their arms: the one place that parses switches.
//!
//! A *lesson* is a technique with two or more *arms*, ways to do the same thing. [`Selection`] is the arm of
//! each lesson that this process runs; it is parsed once, at startup, and the api builds its router,
//! components and layers from it. No request ever reads it. README, `--help`, `/internal/variants` and the
//! lab are generated from the table [`LESSONS`].
//!
//! Read next: `table.rs`, which declares them, then the arms themselves, each in a file named after its
//! technique, in the api's slices.

mod component;
mod selection;
mod table;

use std::fmt;

pub use self::selection::{ParseSelectionError, Preset};
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
