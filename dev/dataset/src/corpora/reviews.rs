//! Reviews: a title and a body of 100 to 600 bytes that fit the stars.

use super::fill;
use crate::rng::RowRng;

struct Mood {
    titles: [&'static str; 6],
    sentences: [&'static str; 12],
}

const HAPPY: Mood = Mood {
    titles: [
        "Exactly what I wanted",
        "Would buy again",
        "Very happy",
        "Better than expected",
        "Great quality",
        "A keeper",
    ],
    sentences: [
        "I have used it for {weeks} weeks now and have nothing to complain about.",
        "The colour is just like in the pictures.",
        "It arrived after {days} days, well packed and without plastic.",
        "My {person} liked it so much that we ordered a second one.",
        "You can feel that somebody thought about the details.",
        "It looks even better in real life.",
        "I was not sure about the price, but it is worth it.",
        "The material feels solid and does not smell of anything.",
        "It replaced one that I had for {weeks} years.",
        "Customer service answered my question within an hour.",
        "It fits perfectly where I wanted it.",
        "A present for my {person}, and it went down very well.",
    ],
};

const MIXED: Mood = Mood {
    titles: [
        "Good, with small flaws",
        "Does its job",
        "Fine for the price",
        "Okay",
        "Not bad",
        "Almost perfect",
    ],
    sentences: [
        "It does what it should, no more and no less.",
        "The colour is a little darker than on my screen.",
        "Delivery took {days} days, which was longer than promised.",
        "My {person} likes it, I am not so sure.",
        "The finish could be cleaner on the inside.",
        "It is smaller than I had imagined, so do read the measurements.",
        "For the price I would have expected a better box.",
        "After {weeks} weeks there are first signs of use.",
        "I would buy it again in a sale.",
        "It took some time to get used to it.",
        "The instructions are short, but you manage.",
        "Overall a decent choice, though not a special one.",
    ],
};

const UNHAPPY: Mood = Mood {
    titles: [
        "Disappointed",
        "Sent it back",
        "Not for me",
        "Broke too soon",
        "Expected more",
        "Poor quality",
    ],
    sentences: [
        "It broke after {weeks} weeks of normal use.",
        "The colour has little to do with the pictures.",
        "I waited {days} days, and then the box was damaged.",
        "My {person} returned it after the first try.",
        "The seams were already loose when it arrived.",
        "It is much smaller than the pictures suggest.",
        "For this price I expect more.",
        "It smelled so strongly that I had to air it for days.",
        "The size was wrong, and the exchange took far too long.",
        "I asked for a refund and am still waiting.",
        "It wobbles, whatever I try.",
        "There are better ones for half the money.",
    ],
};

const PEOPLE: [&str; 10] = [
    "sister",
    "brother",
    "partner",
    "mother",
    "father",
    "daughter",
    "son",
    "neighbour",
    "colleague",
    "best friend",
];
const NUMBERS: [&str; 9] = [
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
];

/// Writes a title and a body for so many stars.
pub fn review(stars: i16, rng: &mut RowRng) -> (&'static str, String) {
    let mood = match stars {
        4.. => &HAPPY,
        3 => &MIXED,
        _ => &UNHAPPY,
    };
    let title = *rng.pick(&mood.titles);
    // Two draws: most reviews are short, few are long.
    let length = 100 + rng.below(rng.clone().below(380) + 1) as usize;
    let mut body = String::with_capacity(length + 120);
    // Walks through the sentences from a random one, by a step without common divisor, so that none comes twice.
    let mut next = rng.below(12) as usize;
    let step = *rng.pick(&[1, 5, 7, 11]);
    let (mut weeks, mut days, person) = (rng.pick(&NUMBERS), rng.pick(&NUMBERS), rng.pick(&PEOPLE));
    while body.len() < length {
        fill(&mut body, mood.sentences[next % 12], |name| match name {
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
