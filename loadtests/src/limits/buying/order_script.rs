//! The statements of one order as a script that `pgbench` can run again and again.
//!
//! What is new in each order, its ids and its key, comes from a counter; all else is as the api sent it, the transaction
//! around the reservation included. One script for each variant, so that `pgbench` contends for stock as the api does.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use uuid::Uuid;

use crate::limits::{Execution, Pgbench};

/// The variable that counts a connection's transactions, and the number that is new in each of all connections.
const COUNTER: &str = "n";
const FRESH: &str = "fresh";

/// Ids that an order may have.
const IDS: usize = 16;

/// What an order's statements were.
#[derive(Debug, Clone)]
pub(super) struct Tapped {
    /// In order.
    pub(super) statements: Vec<Execution>,
    /// The key that the client sent.
    pub(super) key: String,
}

/// Prepares `pgbench`. `known` are ids that exist: of variants and products.
pub(super) fn pgbench(
    program: &Path,
    database_url: &str,
    orders: &[Tapped],
    known: &[Uuid],
) -> Result<Pgbench> {
    let mut variables = Variables::default();
    let scripts = orders.iter().map(|order| script(order, known, &mut variables));
    let scripts: Vec<String> = scripts.collect::<Result<_>>()?;
    Pgbench::of_scripts(program, database_url, &scripts, variables.definitions(), COUNTER)
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

fn script(order: &Tapped, known: &[Uuid], variables: &mut Variables) -> Result<String> {
    let mut text =
        format!("\\set {COUNTER} :{COUNTER} + 1\n\\set {FRESH} :{COUNTER} * 16384 + :client_id * {IDS}\n");
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
            let id = value.parse::<Uuid>().ok().filter(|id| !known.contains(id));
            let put = match id {
                Some(id) if writes => {
                    let place = ids.iter().position(|known| *known == id).unwrap_or_else(|| {
                        ids.push(id);
                        ids.len() - 1
                    });
                    format!("lpad(to_hex(:{FRESH}::bigint + {place}), 32, '0')::uuid")
                }
                _ if writes && *value == order.key => format!("to_hex(:{FRESH}::bigint)"),
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
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_in_an_order_is_counted_and_the_rest_is_as_it_was() {
        let [order, variant] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let run = |sql: &str, parameters: &[&str]| Execution {
            sql: sql.to_owned(),
            parameters: parameters.iter().map(|text| (*text).to_owned()).collect(),
        };
        let tapped = Tapped {
            statements: vec![
                run("select * from carts where id = $1", &[&order.to_string()]),
                run("begin", &[]),
                run(
                    "insert into orders (id, key, variant) values ($1, $2, $3)",
                    &[&order.to_string(), "the key", &variant.to_string()],
                ),
            ],
            key: "the key".to_owned(),
        };
        let mut variables = Variables::default();
        let text = script(&tapped, &[variant], &mut variables).unwrap();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines[0], "select * from carts where id = :v0;");
        assert_eq!(lines[1], "begin;");
        assert_eq!(
            lines[2],
            "insert into orders (id, key, variant) values (lpad(to_hex(:fresh::bigint + 0), 32, '0')::uuid, \
             to_hex(:fresh::bigint), :v1);"
        );
    }
}
