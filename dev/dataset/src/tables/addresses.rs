//! The addresses of customers: one to three each, in the cities of [`CITIES`].

use uuid::Uuid;

use super::customers::Customer;
use crate::copy_format::{Rows, json_object};
use crate::corpora::places::CITIES;
use crate::rng::{Purpose, RowRng};
use crate::tables::catalogue::Catalogue;
use crate::timestamps::uuid_at;

/// How many of 100 customers have 1, 2 and 3 addresses.
const COUNTS: [u64; 3] = [80, 15, 5];

/// An address.
#[derive(Debug)]
pub struct Address {
    id: Uuid,
    name: String,
    line1: String,
    line2: Option<&'static str>,
    city: &'static str,
    postal_code: String,
    country: &'static str,
}

/// The addresses of a customer, their own first.
pub fn of(catalogue: &Catalogue, index: u64, customer: &Customer) -> Vec<Address> {
    let mut rng = RowRng::new(catalogue.seed, Purpose::Addresses, index);
    let count = rng.weighted(&COUNTS) + 1;
    (0..count)
        .map(|position| {
            let city = rng.pick(&CITIES);
            Address {
                id: uuid_at(customer.created_us, index, position as u64, &mut rng),
                name: customer.name.clone(),
                line1: city.street(&mut rng),
                line2: rng
                    .percent(10)
                    .then(|| *rng.pick(&["2nd floor", "3rd floor", "Back building", "c/o reception"])),
                city: city.name,
                postal_code: city.postal_code(&mut rng),
                country: city.country,
            }
        })
        .collect()
}

/// Writes the rows of a customer's addresses.
pub fn rows(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let customer = Customer::at(catalogue, index);
    for address in of(catalogue, index, &customer) {
        rows.row(10)
            .uuid(address.id)
            .uuid(customer.id)
            .timestamp(customer.created_us)
            .text(&address.name)
            .text(&address.line1);
        match address.line2 {
            Some(line2) => rows.text(line2),
            None => rows.null(),
        };
        rows.text(address.city)
            .text(&address.postal_code)
            .null()
            .text(address.country);
    }
}

impl Address {
    /// As an order keeps it: a JSON object, without what is missing.
    pub fn json(&self) -> String {
        let line2 = self.line2.map(|line2| ("line2", line2));
        let before = [("name", self.name.as_str()), ("line1", &self.line1)];
        let after = [
            ("city", self.city),
            ("postal_code", &self.postal_code),
            ("country", self.country),
        ];
        json_object(before.into_iter().chain(line2).chain(after))
    }
}
