//! Descriptions: about a kilobyte of sentences, in the order in which a shop tells things.

use super::departments::Department;
use super::fill;
use crate::rng::RowRng;

/// What a description is about.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The department of the product.
    pub department: &'a Department,
    /// What the product is, in lower case.
    pub noun: &'a str,
    /// What it is made of, in lower case.
    pub material: &'a str,
    /// Its colour, in lower case.
    pub colour: &'a str,
    /// Its brand.
    pub brand: &'a str,
    /// Where it is made.
    pub country: &'a str,
    /// Its series, if the description names it.
    pub series: Option<&'a str>,
    /// Another series, if the description names it.
    pub goes_with: Option<&'a str>,
}

word_lists! {
    "descriptions.txt":
    OPENINGS = "openings";
    MATERIALS = "materials";
    FEATURES = "features";
    USES = "uses";
    CARES = "cares";
    CLOSINGS = "closings";
}

/// Writes a description of 700 to 1 300 bytes. A row that stays below 2 kB is stored as it is; above, Postgres would
/// compress it, and reads would measure that.
pub fn describe(subject: &Subject<'_>, rng: &mut RowRng) -> String {
    let length = 700 + rng.below(300) as usize + rng.below(250) as usize;
    let mut writer = Writer {
        text: String::with_capacity(1_400),
        subject,
        offset: rng.below(40) as usize,
    };
    writer.add(&OPENINGS, rng.below(10) as usize);
    if let Some(series) = subject.series {
        writer.text.push_str("The ");
        writer.text.push_str(series);
        writer.text.push_str(" series has been with us from the start. ");
    }
    let mut turns: [usize; 4] = std::array::from_fn(|_| rng.below(8) as usize);
    let lists: [(usize, &[&'static str]); 4] = [(0, &MATERIALS), (1, &USES), (2, &FEATURES), (3, &CARES)];
    for place in [0, 1, 2, 2, 0, 2, 3, 1, 2, 0, 2, 3].into_iter().cycle() {
        if writer.text.len() >= length - 90 {
            break;
        }
        let (list, patterns) = lists[place];
        writer.add(patterns, turns[list]);
        turns[list] += 1;
    }
    if let Some(other) = subject.goes_with {
        writer.text.push_str("It goes well with ");
        writer.text.push_str(other);
        writer.text.push_str(". ");
    }
    writer.add(&CLOSINGS, rng.below(10) as usize);
    writer.text.truncate(writer.text.trim_end().len());
    writer.text
}

struct Writer<'a> {
    text: String,
    subject: &'a Subject<'a>,
    /// Which pattern each list begins with.
    offset: usize,
}

impl Writer<'_> {
    /// Adds one of the patterns. Threes have no common divisor with the lengths of the lists, so that each pattern
    /// comes once before one comes again.
    fn add(&mut self, patterns: &[&'static str], number: usize) {
        let subject = self.subject;
        fill(
            &mut self.text,
            patterns[(self.offset + 3 * number) % patterns.len()],
            |name| match name {
                "noun" => subject.noun,
                "material" => subject.material,
                "colour" => subject.colour,
                "brand" => subject.brand,
                "country" => subject.country,
                "feature" => subject.department.features[number % subject.department.features.len()],
                "use" => subject.department.uses[number % subject.department.uses.len()],
                other => unreachable!("patterns of descriptions have no {{{other}}}"),
            },
        );
        self.text.push(' ');
    }
}
