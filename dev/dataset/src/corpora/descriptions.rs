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

const OPENINGS: [&str; 10] = [
    "A {noun} for people who want to buy once and keep it.",
    "This {noun} looks simple, and that took a while to get right.",
    "We have made this {noun} for years and still find small things to improve.",
    "Some things are meant to be used daily, and this {noun} is one of them.",
    "Made of {material}, this {noun} gets better the longer you have it.",
    "{brand} designed this {noun} together with the people who use it most.",
    "It is easy to overlook a good {noun} until you have lived with a bad one.",
    "The shape of this {noun} goes back to a pattern from the sixties.",
    "An honest {noun} in {colour}, without anything that could break.",
    "If you only own one {noun}, it may as well be a good one.",
];

const MATERIALS: [&str; 8] = [
    "The {material} comes from a family business in {country} that we visit every year.",
    "We chose {material} because it ages slowly and can be repaired.",
    "Its {material} is sorted by hand, so that small differences between pieces remain visible.",
    "The {material} is finished without chlorine and rests for two weeks before it is cut.",
    "Every batch of {material} is tested for wear before it reaches the workshop in {country}.",
    "The {colour} tone is mixed for us and stays the same from season to season.",
    "Offcuts of the {material} are collected and turned into smaller goods.",
    "It is assembled in {country} by eleven people, and each piece is checked twice.",
];

const FEATURES: [&str; 10] = [
    "It has {feature}, which you notice from the first day.",
    "Details such as {feature} make the difference after a few months.",
    "You also get {feature}, something we missed in most others.",
    "Not to forget: {feature}, although nothing on the outside gives it away.",
    "Customers asked for {feature}, so we added exactly that.",
    "What we like best: {feature}.",
    "Thanks to {feature}, it does its work quietly.",
    "It comes with {feature} as standard, not as an extra.",
    "Look closely and you will find {feature}.",
    "The new version adds {feature} and weighs a little less.",
];

const USES: [&str; 8] = [
    "It is made for {use}, but nobody will stop you from finding other jobs for it.",
    "We use ours for {use} and would not want to be without it.",
    "Ideal for {use}, and small enough to put away afterwards.",
    "Whether for {use} or simply every day, it does not ask for attention.",
    "Many buy it for {use} and come back for a second one.",
    "It has proved itself for {use} in our own long test.",
    "If you are looking for something for {use}, start here.",
    "For {use} there are louder choices, and few that last as long.",
];

const CARES: [&str; 8] = [
    "Clean it with a damp cloth and let it dry in the air.",
    "Wash it cold with similar colours and keep it away from direct heat.",
    "A little wax once a year keeps the surface as it is.",
    "Shake it out, hang it up, and it is ready for the next day.",
    "Small marks disappear with a soft brush and some patience.",
    "Do not leave it in water, and it will outlive most of its neighbours.",
    "Follow the label inside; when in doubt, choose the gentler way.",
    "Spare parts are kept in stock for ten years.",
];

const CLOSINGS: [&str; 10] = [
    "Packed in cardboard without plastic.",
    "If it breaks within three years, we repair or replace it.",
    "Sizes run true; between two, choose the larger one.",
    "Delivered fully assembled and ready to use.",
    "Please note that natural materials vary in tone and grain.",
    "You can return it within thirty days, also when it has been tried.",
    "A card with its care instructions is in the box.",
    "Designed in a small studio, tested in real households.",
    "Part of every sale goes into planting hedges near the workshop.",
    "The measurements are listed below and were taken by hand.",
];

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
