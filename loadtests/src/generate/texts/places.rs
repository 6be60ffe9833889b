//! Where customers live: towns with the postal codes that they really have, in their country's form, and streets.

use crate::generate::dice::Dice;

/// A town.
#[derive(Debug)]
pub struct Town {
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its postal codes: a letter or digit stands for itself, each `#` for any digit.
    postal_code: &'static str,
    /// Whether the number stands before the street.
    number_first: bool,
    streets: &'static [&'static str],
}

const fn town(
    country: &'static str,
    name: &'static str,
    postal_code: &'static str,
    streets: &'static [&'static str],
) -> Town {
    Town {
        country,
        name,
        postal_code,
        number_first: false,
        streets,
    }
}

const fn number_first(mut town: Town) -> Town {
    town.number_first = true;
    town
}

const GERMAN: &[&str] = &[
    "Lindenstraße",
    "Gartenweg",
    "Schillerstraße",
    "Am Mühlbach",
    "Bahnhofstraße",
    "Birkenallee",
];
const FRENCH: &[&str] = &[
    "rue des Lilas",
    "rue Victor Hugo",
    "avenue de la Gare",
    "rue du Moulin",
];
const DUTCH: &[&str] = &["Kerkstraat", "Dorpsweg", "Molenlaan", "Prinsengracht"];
const SPANISH: &[&str] = &["Calle Mayor", "Calle del Sol", "Avenida de la Paz", "Calle Nueva"];
const ITALIAN: &[&str] = &["Via Roma", "Via Garibaldi", "Corso Italia", "Via dei Mille"];
const POLISH: &[&str] = &["ul. Ogrodowa", "ul. Polna", "ul. Lipowa", "ul. Krótka"];
const NORDIC: &[&str] = &["Storgatan", "Björkvägen", "Kyrkogatan", "Skolgatan"];
const DANISH: &[&str] = &["Skovvej", "Nygade", "Strandvejen", "Kirkevej"];

/// The towns, each as often as it stands here.
pub const TOWNS: [Town; 24] = [
    town("DE", "Berlin", "10###", GERMAN),
    town("DE", "Hamburg", "20###", GERMAN),
    town("DE", "München", "80###", GERMAN),
    town("DE", "Köln", "50###", GERMAN),
    town("DE", "Leipzig", "04###", GERMAN),
    town("AT", "Wien", "11#0", GERMAN),
    town("AT", "Graz", "80#0", GERMAN),
    number_first(town("FR", "Paris", "7501#", FRENCH)),
    number_first(town("FR", "Lyon", "6900#", FRENCH)),
    number_first(town("FR", "Nantes", "44#00", FRENCH)),
    town("NL", "Amsterdam", "101# AB", DUTCH),
    town("NL", "Utrecht", "351# CD", DUTCH),
    town("BE", "Gent", "90#0", DUTCH),
    town("ES", "Madrid", "280##", SPANISH),
    town("ES", "Valencia", "460##", SPANISH),
    town("PT", "Porto", "4#00-###", &["Rua das Flores", "Rua da Boavista"]),
    town("IT", "Milano", "201##", ITALIAN),
    town("IT", "Bologna", "401##", ITALIAN),
    town("PL", "Warszawa", "00-###", POLISH),
    town("PL", "Kraków", "31-###", POLISH),
    town("SE", "Göteborg", "41# ##", NORDIC),
    town(
        "FI",
        "Helsinki",
        "001##",
        &["Mannerheimintie", "Kirkkokatu", "Puistokatu"],
    ),
    town("DK", "Aarhus", "8##0", DANISH),
    number_first(town(
        "IE",
        "Galway",
        "H91 A###",
        &["Shop Street", "Dock Road", "College Road"],
    )),
];

impl Town {
    /// A street and a number.
    pub fn street(&self, dice: &mut Dice) -> String {
        let street = *dice.pick(self.streets);
        // Two draws: most streets are short.
        let longest = dice.between(1, 120);
        let number = dice.between(1, longest);
        if self.number_first {
            format!("{number} {street}")
        } else {
            format!("{street} {number}")
        }
    }

    /// One of its postal codes.
    pub fn postal_code(&self, dice: &mut Dice) -> String {
        let digit = |pattern| match pattern {
            '#' => char::from(b'0' + dice.below(10) as u8),
            other => other,
        };
        self.postal_code.chars().map(digit).collect()
    }
}
