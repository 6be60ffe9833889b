//! Reviews: a title and a body of 100 to 600 bytes that fit the stars.

use super::fill;
use crate::rng::RowRng;

word_lists! {
    "reviews.txt":
    HAPPY_TITLES = "happy titles";
    HAPPY_SENTENCES = "happy sentences";
    MIXED_TITLES = "mixed titles";
    MIXED_SENTENCES = "mixed sentences";
    UNHAPPY_TITLES = "unhappy titles";
    UNHAPPY_SENTENCES = "unhappy sentences";
    PEOPLE = "people";
    NUMBERS = "numbers";
}

/// Writes a title and a body for so many stars.
pub fn review(stars: i16, rng: &mut RowRng) -> (&'static str, String) {
    let (titles, sentences) = match stars {
        4.. => (&HAPPY_TITLES, &HAPPY_SENTENCES),
        3 => (&MIXED_TITLES, &MIXED_SENTENCES),
        _ => (&UNHAPPY_TITLES, &UNHAPPY_SENTENCES),
    };
    let title = *rng.pick(titles);
    // Two draws: most reviews are short, few are long.
    let length = 100 + rng.below(rng.clone().below(380) + 1) as usize;
    let mut body = String::with_capacity(length + 120);
    // Walks through the sentences from a random one, by a step without common divisor, so that none comes twice.
    let mut next = rng.below(12) as usize;
    let step = *rng.pick(&[1, 5, 7, 11]);
    let (mut weeks, mut days, person) = (rng.pick(&NUMBERS), rng.pick(&NUMBERS), rng.pick(&PEOPLE));
    while body.len() < length {
        fill(&mut body, sentences[next % 12], |name| match name {
            "weeks" => weeks,
            "days" => days,
            "person" => person,
            other => unreachable!("patterns of reviews have no {{{other}}}"),
        });
        body.push(' ');
        next += step;
        std::mem::swap(&mut weeks, &mut days);
    }
    body.truncate(body.trim_end().len());
    (title, body)
}
