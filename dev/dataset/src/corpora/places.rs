//! Where customers live: cities with the postal codes that they really have, in their country's form, and streets.

use crate::rng::RowRng;

/// A city.
#[derive(Debug)]
pub struct City {
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

const fn city(
    country: &'static str,
    name: &'static str,
    postal_code: &'static str,
    streets: &'static [&'static str],
) -> City {
    City {
        country,
        name,
        postal_code,
        number_first: false,
        streets,
    }
}

const fn number_first(mut city: City) -> City {
    city.number_first = true;
    city
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

/// The cities, weighted by repetition.
pub const CITIES: [City; 24] = [
    city("DE", "Berlin", "10###", GERMAN),
    city("DE", "Hamburg", "20###", GERMAN),
    city("DE", "München", "80###", GERMAN),
    city("DE", "Köln", "50###", GERMAN),
    city("DE", "Leipzig", "04###", GERMAN),
    city("AT", "Wien", "11#0", GERMAN),
    city("AT", "Graz", "80#0", GERMAN),
    number_first(city("FR", "Paris", "7501#", FRENCH)),
    number_first(city("FR", "Lyon", "6900#", FRENCH)),
    number_first(city("FR", "Nantes", "44#00", FRENCH)),
    city("NL", "Amsterdam", "101# AB", DUTCH),
    city("NL", "Utrecht", "351# CD", DUTCH),
    city("BE", "Gent", "90#0", DUTCH),
    city("ES", "Madrid", "280##", SPANISH),
    city("ES", "Valencia", "460##", SPANISH),
    city("PT", "Porto", "4#00-###", &["Rua das Flores", "Rua da Boavista"]),
    city("IT", "Milano", "201##", ITALIAN),
    city("IT", "Bologna", "401##", ITALIAN),
    city("PL", "Warszawa", "00-###", POLISH),
    city("PL", "Kraków", "31-###", POLISH),
    city("SE", "Göteborg", "41# ##", NORDIC),
    city(
        "FI",
        "Helsinki",
        "001##",
        &["Mannerheimintie", "Kirkkokatu", "Puistokatu"],
    ),
    city("DK", "Aarhus", "8##0", DANISH),
    number_first(city(
        "IE",
        "Galway",
        "H91 A###",
        &["Shop Street", "Dock Road", "College Road"],
    )),
];

impl City {
    /// A street and a number.
    pub fn street(&self, rng: &mut RowRng) -> String {
        let street = *rng.pick(self.streets);
        // Two draws: most streets are short.
        let longest = rng.between(1, 120);
        let number = rng.between(1, longest);
        if self.number_first {
            format!("{number} {street}")
        } else {
            format!("{street} {number}")
        }
    }

    /// One of its postal codes.
    pub fn postal_code(&self, rng: &mut RowRng) -> String {
        let digit = |pattern| match pattern {
            '#' => char::from(b'0' + rng.below(10) as u8),
            other => other,
        };
        self.postal_code.chars().map(digit).collect()
    }
}
