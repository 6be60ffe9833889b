//! The customers: who they are, and how they sign in.
//!
//! All have one password, [`DEMO_PASSWORD`], and one hash of it: hashing a password of its own for each would take
//! minutes, by argon2's design. This is demo data. A shop that strangers can reach must not hold these accounts.

use uuid::Uuid;

use crate::copy_format::Rows;
use crate::corpora::names::{FIRST_NAMES, LAST_NAMES, slug};
use crate::rng::{Purpose, RowRng};
use crate::tables::catalogue::Catalogue;
use crate::timestamps::uuid_at;

/// The password of every generated customer.
pub const DEMO_PASSWORD: &str = "backstock-demo";

/// [`DEMO_PASSWORD`] as the api hashes it (argon2id, 19 MiB, two passes), with the salt "backstock-sample".
pub const DEMO_PASSWORD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$YmFja3N0b2NrLXNhbXBsZQ$Fv5gTuDQLuUsLyx/d1KEO6/mFwu9hoOhsS0acDq0yk0";

/// Who may change the catalogue.
pub const ADMIN_EMAIL: &str = "admin@example.com";

/// A customer with a long history, to sign in as.
pub const CUSTOMER_EMAIL: &str = "customer@example.com";

/// The number of [`ADMIN_EMAIL`].
pub const ADMIN: u64 = 0;

/// The number of [`CUSTOMER_EMAIL`].
pub const CUSTOMER: u64 = 1;

/// Domains that are reserved, so that no mail reaches a real mailbox (RFC 2606, section 3).
const DOMAINS: [&str; 3] = ["example.com", "example.net", "example.org"];

/// A customer.
#[derive(Debug)]
pub struct Customer {
    /// Their id.
    pub id: Uuid,
    /// When they registered, in microseconds of Unix time.
    pub created_us: i64,
    /// Their name.
    pub name: String,
    /// Their email, unique by their number.
    pub email: String,
}

impl Customer {
    /// The customer of a number, from 0, the one who registered first.
    pub fn at(catalogue: &Catalogue, index: u64) -> Self {
        let created_us = catalogue.customer_times.at_us(index);
        let mut rng = RowRng::new(catalogue.seed, Purpose::Customer, index);
        let id = uuid_at(created_us, index, 0, &mut rng);
        let first = *rng.pick(&FIRST_NAMES);
        let last = *rng.pick(&LAST_NAMES);
        let email = match index {
            ADMIN => ADMIN_EMAIL.to_owned(),
            CUSTOMER => CUSTOMER_EMAIL.to_owned(),
            _ => format!("{}.{}.{index}@{}", slug(first), slug(last), rng.pick(&DOMAINS)),
        };
        Self {
            id,
            created_us,
            name: format!("{first} {last}"),
            email,
        }
    }
}

/// Writes the row of a customer.
pub fn row(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let customer = Customer::at(catalogue, index);
    let role = if index == ADMIN { "admin" } else { "customer" };
    rows.row(6)
        .uuid(customer.id)
        .timestamp(customer.created_us)
        .text(role)
        .text(&customer.email)
        .text(&customer.name)
        .text(DEMO_PASSWORD_HASH);
}
