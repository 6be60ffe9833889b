//! Requests that make something: each is made when it is needed, with the data that it needs in the arm's database, and
//! sent once.
//!
//! All arms are asked for the same things in the same order. The carts are written by SQL, since a shop that fills them
//! would be warmed by something else than what is measured. Read next: `invariants.rs`, for what all of them must leave
//! behind.

use anyhow::{Result, ensure};
use hyper::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::lessons::Once;
use crate::load::Request;
use crate::trials::{Carts, Goods, PLENTY};

/// The emails of everybody who registers or orders here end like this. It belongs to nobody (RFC 2606, section 2).
pub(super) const DOMAIN: &str = "@lab.example";

/// Variants that orders are made of, in turns: so many that those of requests under way differ.
const VARIANTS: usize = 5_000;

/// What one arm is still to be asked.
pub struct Supply {
    connection: PgConnection,
    made: Made,
}

/// What is made, and how far it has come.
enum Made {
    Registrations(u64),
    Orders(Carts),
}

impl Supply {
    /// A supply for the arm with this database, of these variants if they are chosen already.
    pub async fn open(once: Once, database_url: &str, variants: Option<Vec<Uuid>>) -> Result<Self> {
        let mut connection = PgConnection::connect(database_url).await?;
        let made = match once {
            Once::Registrations => Made::Registrations(0),
            Once::Orders { lines } => {
                let lines = usize::from(lines);
                let goods = match variants {
                    Some(variants) => Goods { variants, lines },
                    None => Goods::choose(&mut connection, VARIANTS, lines, PLENTY).await?,
                };
                ensure!(
                    goods.variants.len() >= lines,
                    "only {} products can be sold, too few for an order of {lines} lines",
                    goods.variants.len()
                );
                Made::Orders(Carts::of(goods))
            }
        };
        Ok(Self { connection, made })
    }

    /// What orders are made of.
    pub fn variants(&self) -> Option<&[Uuid]> {
        match &self.made {
            Made::Registrations(_) => None,
            Made::Orders(carts) => Some(&carts.goods().variants),
        }
    }

    /// So many requests that nobody has sent.
    pub async fn take(&mut self, count: usize) -> Result<Vec<Request>> {
        match &mut self.made {
            Made::Registrations(made) => {
                let numbers = *made..*made + count as u64;
                *made = numbers.end;
                numbers.map(registration).collect()
            }
            Made::Orders(carts) => Ok(carts.orders(&mut self.connection, count).await?.to_vec()),
        }
    }
}

fn registration(number: u64) -> Result<Request> {
    let body = json!({
        "email": format!("lab-{number}{DOMAIN}"),
        "password": "nobody signs in with this",
        "name": "Ada Lovelace",
    });
    Request::with_json(Method::POST, "/v1/accounts", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_registers_twice() {
        let body = |number| registration(number).unwrap().body;
        assert_eq!(body(1), body(1));
        assert_ne!(body(1), body(2));
    }
}
