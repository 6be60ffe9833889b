//! Draws the set. A combination is drawn by kinds and ranks alone, never by what the catalogue happens to hold, so that its
//! number means the same at every scale.

use std::fmt::Write as _;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Kind;
use super::vocabulary::Vocabulary;

/// In no product.
const ABSENT: [&str; 4] = ["qzxvworp", "zyzzxqr", "xkqjwvbn", "vvqqzzxx"];

/// Found everywhere, and so nowhere.
const STOP_WORDS: [&str; 3] = ["the", "with", "of"];

const SORTS: [&str; 5] = ["newest", "price_asc", "price_desc", "best_selling", "rating"];

/// One request of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) kind: Kind,
    pub(super) path: String,
    /// Whether the list is followed to its end, or far.
    pub(super) to_end: bool,
}

impl Drawn {
    fn new(kind: Kind, path: String) -> Self {
        Self {
            kind,
            path,
            to_end: false,
        }
    }
}

pub(super) fn draw(vocabulary: &Vocabulary, seed: u64, count: usize) -> Vec<Drawn> {
    let mut set: Vec<Drawn> = (0..count as u64)
        .map(|number| {
            // Each has luck of its own: what one draws more of changes no other.
            let rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
            Draw { rng, vocabulary }.combination()
        })
        .collect();
    // There is one tree, and it belongs to every set.
    if let Some(last) = set.last_mut() {
        *last = Drawn::new(Kind::Categories, "/v1/categories".to_owned());
    }
    set
}

struct Draw<'a> {
    rng: ChaCha8Rng,
    vocabulary: &'a Vocabulary,
}

impl Draw<'_> {
    fn combination(&mut self) -> Drawn {
        match self.below(100) {
            // The shop asks for two letters at least.
            0..8 => Drawn::new(
                Kind::Suggestions,
                format!("/v1/search/suggestions?q={}", self.begun_word(2)),
            ),
            8..24 => {
                let filters = self.filters();
                let path = format!("/v1/products/facets?{}", filters.trim_end_matches('&'));
                Drawn::new(Kind::Facets, path.trim_end_matches('?').to_owned())
            }
            _ => self.list(),
        }
    }

    fn list(&mut self) -> Drawn {
        let mut path = format!("/v1/products?{}", self.filters());
        let has_words = path.contains("q=");
        let sort = self.below(SORTS.len() + 1);
        if let Some(sort) = SORTS.get(sort) {
            let _ = write!(path, "sort={sort}&");
        } else if has_words {
            path.push_str("sort=relevance&");
        }
        match self.below(10) {
            0 => path.push_str("limit=100&"),
            1 => path.push_str("limit=1&"),
            _ => {}
        }
        if self.below(5) == 0 {
            path.push_str("include=variants,images&");
        }
        Drawn {
            kind: Kind::List,
            path: path.trim_end_matches(['&', '?']).to_owned(),
            to_end: self.below(5) == 0,
        }
    }

    fn filters(&mut self) -> String {
        let mut text = String::new();
        if self.percent(50) {
            let _ = write!(text, "q={}&", self.words());
        }
        if self.percent(40) {
            let depth = self.below(self.vocabulary.categories.len().max(1));
            if let Some(slugs) = self.vocabulary.categories.get(depth) {
                let place = self.share();
                let _ = write!(text, "category={}&", at(slugs, place));
            }
        }
        if self.percent(30) {
            // The largest, one of the larger, or any.
            let place = match self.below(3) {
                0 => 0.0,
                1 => self.share() * 0.05,
                _ => self.share(),
            };
            if !self.vocabulary.brands.is_empty() {
                let _ = write!(text, "brand={}&", at(&self.vocabulary.brands, place));
            }
        }
        if self.percent(30) {
            let from = self.below(100);
            // Wide, narrow, or without an end.
            let width = [1, 5, 30, 100][self.below(4)];
            let prices = &self.vocabulary.prices;
            let _ = write!(text, "min_price={}&", prices[from]);
            if from + width <= 100 {
                let _ = write!(text, "max_price={}&", prices[from + width]);
            }
        }
        match self.below(4) {
            0 => text.push_str("in_stock=true&"),
            1 if self.percent(50) => text.push_str("in_stock=false&"),
            _ => {}
        }
        text
    }

    /// What people type, with a plus for each space.
    fn words(&mut self) -> String {
        match self.below(12) {
            0 => self.letter(),
            1 => (*self.pick(&ABSENT)).to_owned(),
            2 => self.misspelt(),
            3 => (*self.pick(&STOP_WORDS)).to_owned(),
            4 => format!("{}+{}", self.common(), self.common()),
            5 => format!("{}+{}", self.middling(), self.common()),
            6 => self.rare(),
            7 => self.middling(),
            8 => self.begun_word(1),
            9 | 10 => self.near_crossing(),
            _ => self.common(),
        }
    }

    /// The first letters of a word, so many at least, or all of it.
    fn begun_word(&mut self, least: usize) -> String {
        let word = match self.below(4) {
            0 => self.rare(),
            1 => self.misspelt(),
            2 => self.middling(),
            _ => self.common(),
        };
        let letters = word.len().min(least + self.below(word.len()));
        word[..letters].to_owned()
    }

    fn misspelt(&mut self) -> String {
        let mut letters: Vec<u8> = if self.below(2) == 0 {
            self.common()
        } else {
            self.middling()
        }
        .into_bytes();
        let place = self.below(letters.len() - 1);
        match self.below(3) {
            0 => letters.swap(place, place + 1),
            1 => drop(letters.remove(place)),
            _ => letters.insert(place, letters[place]),
        }
        String::from_utf8(letters).expect("words of the set are ASCII")
    }

    fn letter(&mut self) -> String {
        char::from(b'a' + self.below(26) as u8).to_string()
    }

    fn common(&mut self) -> String {
        let words = &self.vocabulary.common;
        self.pick(words).clone()
    }

    fn near_crossing(&mut self) -> String {
        let words = &self.vocabulary.crossing;
        self.pick(words).clone()
    }

    fn middling(&mut self) -> String {
        let words = &self.vocabulary.middling;
        self.pick(words).clone()
    }

    fn rare(&mut self) -> String {
        let words = &self.vocabulary.rare;
        self.pick(words).clone()
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.random_range(0..bound.max(1))
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn share(&mut self) -> f64 {
        self.rng.random()
    }
}

/// The element at this share of a list's length.
fn at(all: &[String], share: f64) -> &str {
    let place = (share * all.len() as f64) as usize;
    &all[place.min(all.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(size: usize) -> Vocabulary {
        let words = |kind: &str, count: usize| {
            (0..count)
                .map(|n| format!("{kind}{}", "x".repeat(n % 3 + 2)))
                .collect()
        };
        Vocabulary {
            common: words("common", 12),
            crossing: words("crossing", 12),
            middling: words("middling", 12),
            rare: words("rare", 12),
            categories: vec![words("root", 4), words("leaf", size)],
            brands: words("brand", size),
            prices: (0..=100).map(|percent| percent * size as i64).collect(),
        }
    }

    /// A path without what depends on the catalogue.
    fn shape(path: &str) -> Vec<String> {
        let parameters = path.split(['?', '&']);
        parameters
            .map(|parameter| match parameter.split_once('=') {
                Some((name, _)) if name != "sort" && name != "in_stock" => name.to_owned(),
                _ => parameter.to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_number_means_the_same_in_every_catalogue() {
        let (small, large) = (draw(&vocabulary(40), 7, 500), draw(&vocabulary(4_000), 7, 500));
        assert_eq!(small, draw(&vocabulary(40), 7, 500));
        assert_ne!(small, draw(&vocabulary(40), 8, 500));
        assert!(
            draw(&vocabulary(40), 7, 100)[..99] == small[..99],
            "a shorter set is the beginning of a longer one"
        );
        for (one, other) in small.iter().zip(&large) {
            assert_eq!((one.kind, shape(&one.path)), (other.kind, shape(&other.path)));
            assert_eq!(one.to_end, other.to_end);
        }
        assert!(small.iter().any(|drawn| drawn.to_end));
        for kind in [Kind::List, Kind::Facets, Kind::Categories, Kind::Suggestions] {
            assert!(small.iter().any(|drawn| drawn.kind == kind), "{kind:?}");
        }
        for parameter in [
            "sort=relevance",
            "q=crossing",
            "in_stock=false",
            "q=",
            "category=",
            "brand=",
            "max_price=",
        ] {
            assert!(
                small.iter().any(|drawn| drawn.path.contains(parameter)),
                "{parameter}"
            );
        }
    }
}
