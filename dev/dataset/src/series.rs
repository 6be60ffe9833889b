//! Coined series names, and the rule that says which products they find.
//!
//! Every product belongs to a *series*, and its title begins with the series' name: "Bramholm Oak Side Table". The
//! names are search words whose answer is known:
//!
//! * all have eight letters, so none is part of another, and no other word of the catalogue contains one;
//! * Postgres' `english` configuration keeps them as they are, no stem is cut off;
//! * they stand as whole words between spaces or before a full stop.
//!
//! Hence `ilike '%word%'` and full-text search, each over title and description, find the same products:
//!
//! * in blocks of [`BLOCK`] products the series have [`SIZES`] members, whose titles carry the word;
//! * members with an even number carry it in their description as well;
//! * the last member of the *next* series carries it in its description only.
//!
//! So series `k` finds its members and one product more; [`SeriesPlan::products_found`] lists them. About 1 % of
//! products are inactive, and lists leave those out. Names may differ in one letter, so a search that forgives typos
//! finds more: compare with it switched off, or where it acts only when nothing else was found.

use super::rng::{Purpose, RowRng, Shuffle};

/// Products a block; every scale is a multiple of it.
pub const BLOCK: u64 = 50;

/// Members of the series in a block.
pub const SIZES: [u64; 4] = [3, 7, 15, 25];

const ONSETS: [&str; 20] = [
    "bl", "br", "cl", "cr", "dr", "fl", "fr", "gl", "gr", "kr", "pl", "pr", "sk", "sl", "sn", "st", "sw",
    "th", "tr", "vr",
];
const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
const CODAS: [&str; 12] = ["b", "d", "g", "k", "l", "m", "n", "p", "r", "t", "v", "z"];
// Four letters each, ending in ways that the English stemmer leaves alone.
const TAILS: [&str; 70] = [
    "bard", "berg", "borg", "bost", "burg", "dahl", "dorf", "dorn", "fald", "farn", "fold", "ford", "gald",
    "garn", "gorm", "grad", "gram", "gund", "hald", "hard", "harn", "hock", "hoff", "holm", "holt", "horn",
    "hort", "kamp", "kirk", "korn", "land", "lang", "lock", "lorn", "lund", "malm", "mark", "mond", "mont",
    "morn", "mund", "nack", "nord", "park", "port", "rand", "rick", "rold", "rond", "rost", "sand", "sard",
    "skog", "stad", "stok", "sund", "tarn", "thor", "tock", "torp", "vald", "vang", "vard", "vark", "volk",
    "wald", "ward", "warn", "wick", "wolf",
];

/// How many names there are.
pub const WORDS: u64 = (ONSETS.len() * VOWELS.len() * CODAS.len() * TAILS.len()) as u64;

/// Which products belong to which series, and what the series are called.
#[derive(Debug, Clone)]
pub struct SeriesPlan {
    products: Shuffle,
    words: Shuffle,
    series: u64,
}

/// A product's place in its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The series, from 0.
    pub series: u64,
    /// The number of this product in it, from 0.
    pub member: u64,
    /// How many members it has.
    pub members: u64,
}

impl SeriesPlan {
    /// The plan for `products` products, a multiple of [`BLOCK`].
    pub fn new(seed: u64, products: u64) -> Self {
        let series = products / BLOCK * SIZES.len() as u64;
        assert!(
            products.is_multiple_of(BLOCK),
            "{products} products do not fill blocks of {BLOCK}"
        );
        assert!(
            series <= WORDS,
            "{series} series need more names than the {WORDS} there are"
        );
        Self {
            products: Shuffle::new(seed, Purpose::SeriesShuffle, products),
            words: Shuffle::new(seed, Purpose::WordShuffle, WORDS),
            series,
        }
    }

    /// How many series there are.
    pub fn count(&self) -> u64 {
        self.series
    }

    /// The name of a series, with a capital letter: "Bramholm".
    pub fn word(&self, series: u64) -> String {
        spell(self.words.forward(series))
    }

    /// The series of a product.
    pub fn of_product(&self, product: u64) -> Membership {
        let slot = self.products.forward(product);
        let first = slot / BLOCK * SIZES.len() as u64;
        let mut member = slot % BLOCK;
        for (series, members) in (first..).zip(SIZES) {
            if member < members {
                return Membership {
                    series,
                    member,
                    members,
                };
            }
            member -= members;
        }
        unreachable!("the sizes add up to a block")
    }

    /// The series that a product names in its description without belonging to it, if it does.
    pub fn mentioned_by(&self, membership: Membership) -> Option<u64> {
        let is_last = membership.member + 1 == membership.members;
        is_last.then_some((membership.series + self.series - 1) % self.series)
    }

    /// The indexes of the products that a search for the name of a series finds, active or not: its members, then
    /// the product that only mentions it.
    pub fn products_found(&self, series: u64) -> Vec<u64> {
        let next = (series + 1) % self.series;
        let (_, members) = slots(series);
        let (next_start, next_members) = slots(next);
        let (start, _) = slots(series);
        (start..start + members)
            .chain([next_start + next_members - 1])
            .map(|slot| self.products.backward(slot))
            .collect()
    }
}

/// The first slot of a series, and how many it has.
fn slots(series: u64) -> (u64, u64) {
    let place = (series % SIZES.len() as u64) as usize;
    let start = series / SIZES.len() as u64 * BLOCK + SIZES[..place].iter().sum::<u64>();
    (start, SIZES[place])
}

/// The name with a number, one of [`WORDS`].
pub fn spell(number: u64) -> String {
    let mut rest = number as usize;
    let mut take = |choices: &'static [&'static str]| {
        let choice = choices[rest % choices.len()];
        rest /= choices.len();
        choice
    };
    let (onset, vowel, coda, tail) = (take(&ONSETS), take(&VOWELS), take(&CODAS), take(&TAILS));
    let mut word = format!("{onset}{vowel}{coda}{tail}");
    word[..1].make_ascii_uppercase();
    word
}

/// The random numbers of a series.
pub fn rng(seed: u64, series: u64) -> RowRng {
    RowRng::new(seed, Purpose::Series, series)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_all_different_and_none_is_part_of_another() {
        let words: HashSet<String> = (0..WORDS).map(spell).collect();
        assert_eq!(words.len() as u64, WORDS);
        assert!(words.iter().all(|word| word.len() == 8));
    }

    #[test]
    fn members_and_series_agree() {
        let plan = SeriesPlan::new(3, 1_000);
        assert_eq!(plan.count(), 80);
        for series in 0..plan.count() {
            let found = plan.products_found(series);
            let (members, mention) = found.split_at(found.len() - 1);
            assert_eq!(members.len() as u64, SIZES[(series % 4) as usize]);
            assert!(
                members
                    .iter()
                    .all(|product| plan.of_product(*product).series == series)
            );
            assert_eq!(plan.mentioned_by(plan.of_product(mention[0])), Some(series));
        }
    }
}
