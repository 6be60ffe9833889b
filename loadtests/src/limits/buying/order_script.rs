//! The statements of one order as a script that `pgbench` can run again and again.
//!
//! What is new in each order, its ids and its key, comes from a counter; all else is as the api sent it, the transaction
//! around the reservation included. An order holds its cart, so each connection makes carts as it goes, many at a time.
//! Each connection buys a variant of its own, which it looks up once: one script, so that
//! each statement is prepared once a connection, and nobody waits for anybody's stock, which is the best that Postgres
//! can do.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use crate::limits::{Execution, Pgbench};

/// The variable that counts a connection's transactions, and the number that is new in each of all connections.
const COUNTER: &str = "n";
const FRESH: &str = "fresh";

/// Ids that an order may have.
const IDS: usize = 16;

/// Between the numbers of one connection's orders: room for a thousand connections.
const STRIDE: usize = 16_384;

/// Carts that a connection makes at a time: so many that one commit for all of them costs an order nothing.
const CARTS: usize = 512;

/// What an order's statements were.
#[derive(Debug, Clone)]
pub(super) struct Tapped {
    /// In order.
    pub(super) statements: Vec<Execution>,
    /// The key that the client sent.
    pub(super) key: String,
    /// What was ordered.
    pub(super) cart: Uuid,
    /// As the order found it.
    pub(super) cart_version: String,
    /// What was bought, a unit of it.
    pub(super) variant: Uuid,
    /// Of this product.
    pub(super) product: Uuid,
}

/// Prepares `pgbench`. Connections take one of these variants each, in turns.
pub(super) fn pgbench(
    program: &Path,
    database_url: &str,
    order: &Tapped,
    variants: &[Uuid],
) -> Result<Pgbench> {
    let mut variables = Variables::default();
    let script = script(order, variants.len(), &mut variables)?;
    let mut definitions = variables.definitions();
    let ids: Vec<String> = variants.iter().map(Uuid::to_string).collect();
    definitions.extend([format!("goods={{{}}}", ids.join(",")), "begins=1".to_owned()]);
    Pgbench::of_scripts(program, database_url, &[script], definitions, COUNTER)
}

/// Variables by value: most values are the same in all scripts.
#[derive(Debug, Default)]
struct Variables(BTreeMap<String, usize>);

impl Variables {
    fn name(&mut self, value: &str) -> String {
        let next = self.0.len();
        format!("v{}", self.0.entry(value.to_owned()).or_insert(next))
    }

    fn definitions(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|(value, number)| format!("v{number}={value}"))
            .collect()
    }
}

fn script(order: &Tapped, goods: usize, variables: &mut Variables) -> Result<String> {
    let (variant, product) = (format!("{{{}}}", order.variant), format!("{{{}}}", order.product));
    let begin = format!(
        "\\if :begins\n\
         select '{{' || id || '}}' as bought, '{{' || product_id || '}}' as bought_of from variants \
         where id = any(:goods) order by id offset mod(:client_id::int, {goods}) limit 1 \\gset\n\
         \\set begins 0\n\
         \\set last :{COUNTER}\n\
         \\endif\n\
         \\set {COUNTER} :{COUNTER} + 1\n\
         \\set {FRESH} :{COUNTER} * {STRIDE} + :client_id * {IDS}\n"
    );
    let mut text = String::new();
    let mut ids: Vec<Uuid> = Vec::new();
    for statement in &order.statements {
        let writes = !statement.sql.trim_start().starts_with("--")
            && !statement.sql.trim_start().starts_with("select")
            || statement.sql.contains("insert into");
        // Comments hide what follows them on a line from nobody but pgbench.
        let mut sql: String = statement
            .sql
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
            .collect::<Vec<_>>()
            .join("\n");
        for (index, value) in statement.parameters.iter().enumerate().rev() {
            // An array of one is spelled as some spell a UUID, in braces.
            let id = value.parse::<Uuid>().ok().filter(|_| !value.starts_with('{'));
            let put = match id {
                Some(id) if writes => {
                    let place = ids.iter().position(|known| *known == id).unwrap_or_else(|| {
                        ids.push(id);
                        ids.len() - 1
                    });
                    format!("lpad(to_hex(:{FRESH}::bigint + {place}), 32, '0')::uuid")
                }
                _ if writes && *value == order.key => format!("to_hex(:{FRESH}::bigint)"),
                _ if *value == variant => ":bought".to_owned(),
                _ if *value == product => ":bought_of".to_owned(),
                // pgbench has no empty variables. A null has left its place already, and is not put anywhere.
                _ if value.is_empty() => "''".to_owned(),
                _ => format!(":{}", variables.name(value)),
            };
            sql = sql.replace(&format!("${}", index + 1), &put);
        }
        text.push_str(sql.trim().trim_end_matches(';'));
        text.push_str(";\n");
    }
    ensure!(
        ids.len() <= IDS,
        "an order has {} ids, more than the script tells apart",
        ids.len()
    );
    let place = ids.iter().position(|id| *id == order.cart);
    let place = place.context("no statement of an order writes to its cart")?;
    let version = variables.name(&order.cart_version);
    let carts = format!(
        "\\if :{COUNTER} > :last\n\
         insert into carts (id, token_hash, updated_at) \
         select lpad(to_hex(:{FRESH}::bigint + {place} + ahead * {STRIDE}), 32, '0')::uuid, sha256('cart'), \
         :{version}::timestamptz from generate_series(0, {CARTS} - 1) ahead;\n\
         \\set last :{COUNTER} + {CARTS} - 1\n\
         \\endif\n"
    );
    Ok(begin + &carts + &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_in_an_order_is_counted_and_the_rest_is_as_it_was() {
        let [order, variant, product, cart] = [1, 2, 3, 4].map(Uuid::from_u128);
        let run = |sql: &str, parameters: &[&str]| Execution {
            sql: sql.to_owned(),
            parameters: parameters.iter().map(|text| (*text).to_owned()).collect(),
        };
        let tapped = Tapped {
            statements: vec![
                run(
                    "-- $1 cart\nselect * from carts where id = $1",
                    &[&cart.to_string()],
                ),
                run("begin", &[]),
                run(
                    "insert into orders (id, key, variants, note, cart_id) values ($1, $2, $3, $4, $5)",
                    &[
                        &order.to_string(),
                        "the key",
                        &format!("{{{variant}}}"),
                        "",
                        &cart.to_string(),
                    ],
                ),
            ],
            key: "the key".to_owned(),
            cart,
            cart_version: "2026-11-20T12:00:00Z".to_owned(),
            variant,
            product,
        };
        let text = script(&tapped, 64, &mut Variables::default()).unwrap();
        let lines: Vec<&str> = text.lines().skip(7).collect();
        assert_eq!(
            lines[..4],
            [
                "\\if :n > :last",
                "insert into carts (id, token_hash, updated_at) \
                 select lpad(to_hex(:fresh::bigint + 0 + ahead * 16384), 32, '0')::uuid, sha256('cart'), \
                 :v1::timestamptz from generate_series(0, 512 - 1) ahead;",
                "\\set last :n + 512 - 1",
                "\\endif"
            ]
        );
        let lines = &lines[4..];
        assert_eq!(lines[0], "select * from carts where id = :v0;");
        assert_eq!(lines[1], "begin;");
        assert_eq!(
            lines[2],
            "insert into orders (id, key, variants, note, cart_id) values (lpad(to_hex(:fresh::bigint + 1), 32, '0')::uuid, \
             to_hex(:fresh::bigint), :bought, '', lpad(to_hex(:fresh::bigint + 0), 32, '0')::uuid);"
        );
    }
}
