//! The lessons and their arms: the one place that parses switches.
//!
//! A *lesson* is a technique with two or more *arms*, ways to do the same thing. [`Variants`] says which arm of
//! each lesson this process runs; it is parsed once, at start-up, and from it the api builds its router, its
//! components and its layers. No request ever reads it. [`LESSONS`] is the table from which the README, `--help`,
//! `/internal/variants` and the lab take what they say about lessons.
//!
//! Read next: the arms themselves, each in a file of its own, named after the technique, in the api's slices.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

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

/// Declares, for each lesson, its enum, its field in [`Variants`] and its row in [`LESSONS`], so that the three
/// cannot drift apart. `preset_baseline` is the arm of the `baseline` preset.
macro_rules! lessons {
    ($(
        $(#[$doc:meta])*
        $field:ident: $type:ident {
            summary: $summary:literal,
            question: $question:literal,
            joint: $joint:ident,
            context: [$($other:ident = $other_arm:ident),*],
            baselines: { $($base:ident = $base_name:ident: $base_summary:literal),+ },
            preset_baseline: $preset:ident,
            optimized: $best:ident = $best_name:ident: $best_summary:literal,
        }
    )+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
            pub enum $type {
                $(
                    #[doc = $base_summary]
                    #[cfg(feature = "baselines")]
                    $base,
                )+
                #[doc = $best_summary]
                $best,
            }

            impl $type {
                /// The name of this arm in `BACKSTOCK_VARIANTS`.
                pub const fn as_str(self) -> &'static str {
                    match self {
                        $(
                            #[cfg(feature = "baselines")]
                            Self::$base => stringify!($base_name),
                        )+
                        Self::$best => stringify!($best_name),
                    }
                }

                /// The arm of that name, if this build contains it.
                pub fn from_name(name: &str) -> Option<Self> {
                    $(
                        #[cfg(feature = "baselines")]
                        if name == stringify!($base_name) {
                            return Some(Self::$base);
                        }
                    )+
                    (name == stringify!($best_name)).then_some(Self::$best)
                }
            }
        )+

        /// The arm of every lesson that a process runs. Chosen at start-up and never consulted by a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Variants {
            /// The preset that the choice started from.
            pub preset: Preset,
            $(
                $(#[$doc])*
                pub $field: $type,
            )+
        }

        impl Variants {
            /// Every lesson at its optimized arm.
            pub const fn optimized() -> Self {
                Self { preset: Preset::Optimized, $($field: $type::$best,)+ }
            }

            /// Every lesson at its baseline arm.
            #[cfg(feature = "baselines")]
            pub const fn baseline() -> Self {
                Self { preset: Preset::Baseline, $($field: $type::$preset,)+ }
            }

            /// Lesson and arm names, in the order of [`LESSONS`].
            pub fn arms(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
                [$((stringify!($field), self.$field.as_str()),)+].into_iter()
            }

            fn set(&mut self, lesson: &str, arm: &str) -> Result<&'static str, ParseVariantsError> {
                match lesson {
                    $(
                        stringify!($field) => {
                            self.$field = $type::from_name(arm).ok_or_else(|| ParseVariantsError::UnknownArm {
                                lesson: stringify!($field),
                                arm: arm.to_owned(),
                            })?;
                            Ok(stringify!($field))
                        }
                    )+
                    other => Err(ParseVariantsError::UnknownLesson { lesson: other.to_owned() }),
                }
            }
        }

        /// Every lesson, in teaching order.
        pub const LESSONS: &[Lesson] = &[$(
            Lesson {
                name: stringify!($field),
                summary: $summary,
                question: $question,
                joint: Joint::$joint,
                arms: &[
                    $(
                        #[cfg(feature = "baselines")]
                        Arm { name: stringify!($base_name), summary: $base_summary },
                    )+
                    Arm { name: stringify!($best_name), summary: $best_summary },
                ],
                #[cfg(feature = "baselines")]
                baseline: $type::$preset.as_str(),
                #[cfg(not(feature = "baselines"))]
                baseline: $type::$best.as_str(),
                optimized: $type::$best.as_str(),
                context: &[$((stringify!($other), stringify!($other_arm))),*],
            },
        )+];
    };
}

lessons! {
    /// Which secondary indexes the database has.
    indexes: Indexes {
        summary: "Which secondary indexes the tables have",
        question: "What do indexes that fit the queries save a read, and what do they cost a write?",
        joint: Database,
        context: [catalog_cache = none],
        baselines: {
            None = none: "Primary keys and unique constraints only.",
            ForeignKeys = foreign_keys: "One index on each foreign key: what most teams have."
        },
        preset_baseline: ForeignKeys,
        optimized: Chosen = chosen: "Indexes chosen for the storefront's queries, in their sort orders.",
    }
    /// How a list continues after its first page.
    pagination: Pagination {
        summary: "How a list continues after its first page",
        question: "From which depth does skipping rows cost more than remembering where the page ended?",
        joint: Handler,
        context: [catalog_cache = none],
        baselines: { Offset = offset: "`offset N`: the database reads and drops all rows before the page." },
        preset_baseline: Offset,
        optimized: Cursor = cursor: "A signed cursor: the database seeks to where the last page ended.",
    }
    /// How the variants and images of a page of products are loaded.
    listing: Listing {
        summary: "How the variants and images of a page of products are loaded",
        question: "What does loading details product by product cost, and how does the distance to the database multiply it?",
        joint: Component,
        context: [catalog_cache = none],
        baselines: { NPlusOne = n_plus_one: "Two statements for each product of the page." },
        preset_baseline: NPlusOne,
        optimized: Batched = batched: "One statement for all products of the page.",
    }
    /// Which columns a list reads.
    projection: Projection {
        summary: "Which columns a list reads",
        question: "What do columns cost that are read and then dropped?",
        joint: Component,
        context: [catalog_cache = none],
        baselines: { AllColumns = all_columns: "Reads whole rows, long descriptions among them, and drops what it doesn't send." },
        preset_baseline: AllColumns,
        optimized: Narrow = narrow: "Reads the columns that the answer shows.",
    }
    /// How products are found by words.
    search: Search {
        summary: "How products are found by words",
        question: "What does an inverted index save over reading every text, and what does each find that the other does not?",
        joint: Component,
        context: [catalog_cache = none],
        baselines: { Like = like: "`ilike '%…%'` over titles and descriptions." },
        preset_baseline: Like,
        optimized: FullText = full_text: "Full-text search with ranks and prefixes, typos caught by trigrams on titles.",
    }
    /// Where answers of the catalogue are kept.
    catalog_cache: CatalogCache {
        summary: "Where finished answers of the catalogue are kept",
        question: "What does a cache of finished answers save, and when is it only in the way?",
        joint: Component,
        context: [],
        baselines: { None = none: "Every answer comes from Postgres." },
        preset_baseline: None,
        optimized: Redis = redis: "Finished answers in Redis, read before Postgres is asked.",
    }
    /// How a request gets its database connection.
    connections: Connections {
        summary: "How a request gets its database connection",
        question: "What does connecting to Postgres for each request cost, and what happens when more come than there are connections?",
        joint: Component,
        context: [catalog_cache = none],
        baselines: { PerRequest = per_request: "Connects for each request that needs the database." },
        preset_baseline: PerRequest,
        optimized: Pooled = pooled: "Borrows a connection from a bounded pool.",
    }
    /// How answers are compressed.
    compression: Compression {
        summary: "How answers are compressed",
        question: "How many bytes does compression save, for how much CPU, and from which link speed does it pay?",
        joint: Layer,
        context: [],
        baselines: {
            None = none: "Answers are sent as they are.",
            Gzip = gzip: "gzip, for clients that accept it."
        },
        preset_baseline: None,
        optimized: Brotli = brotli: "Brotli for clients that accept it, else gzip.",
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
