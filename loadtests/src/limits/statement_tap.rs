//! Listens in on a shop's connections to Postgres, to learn the exact statements that a request runs.
//!
//! `pg_stat_statements` knows statements only without their constants and parameters, and a plan for an unknown limit
//! or key is another plan. The tap sees both. It is used before anything is measured, never during it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use tcp_proxy::{Direction, Proxy, Verdict};

use super::postgres_messages::ClientMessages;

/// A statement as it was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Its text, with `$1`… for its parameters.
    pub sql: String,
    /// The parameters in their text form.
    pub parameters: Vec<String>,
}

/// A proxy before Postgres that notes which statements pass it.
#[derive(Debug)]
pub struct StatementTap {
    url: String,
    seen: Arc<Mutex<Seen>>,
    _proxy: Proxy,
}

#[derive(Debug, Default)]
struct Seen {
    executions: Vec<Execution>,
    /// The first message that could not be understood.
    fault: Option<String>,
}

impl StatementTap {
    /// Listens before the server of this URL.
    pub fn start(database_url: &str) -> Result<StatementTap> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noted = Arc::clone(&seen);
        let proxy = Proxy::inspecting(database_url, move || {
            let (noted, mut messages) = (Arc::clone(&noted), ClientMessages::default());
            move |direction, bytes| {
                if direction == Direction::Requests {
                    note(&noted, messages.feed(bytes));
                }
                Verdict::Forward
            }
        })?;
        let url = proxy.through(database_url)?;
        // Encrypted statements could not be read. The last `sslmode` of a URL counts.
        let separator = if url.contains('?') { '&' } else { '?' };
        Ok(StatementTap {
            url: format!("{url}{separator}sslmode=disable"),
            seen,
            _proxy: proxy,
        })
    }

    /// The URL that leads through the tap.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What has passed since the last call, the product's upkeep left out.
    pub fn take(&self) -> Result<Vec<Execution>> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(fault) = seen.fault {
            bail!("the tap did not understand what the shop sent to Postgres: {fault}");
        }
        Ok(seen
            .executions
            .into_iter()
            .filter(|run| !run.sql.contains("catalog_epoch"))
            .collect())
    }
}

fn note(seen: &Mutex<Seen>, read: Result<Vec<Execution>>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match read {
        Ok(executions) => seen.executions.extend(executions),
        Err(fault) => {
            seen.fault.get_or_insert(format!("{fault:#}"));
        }
    }
}
