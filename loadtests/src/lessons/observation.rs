//! What was seen of an arm on the counted pass: the material of signatures.

use std::collections::BTreeMap;

use super::Facts;
use crate::report::{Cost, StatementCost};

/// What was seen of one arm under one scenario.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// Counted costs of a request.
    pub cost: Cost,
    /// Its statements.
    pub statements: Vec<StatementCost>,
    /// Connections to Postgres that were opened, for each request.
    pub connections_per_request: f64,
    /// Exchanges with Redis, for each request.
    pub redis_round_trips: f64,
    /// Mails that have arrived by the time a request is answered, for each request.
    pub mails: f64,
    /// The share of the api's processor time that the slow requests beside take on threads for blocking work.
    pub blocking_share: Option<f64>,
    /// The share of answers by `content-encoding`, empty for none.
    pub encodings: BTreeMap<String, f64>,
    /// The share of answers that the cache gave, by `server-timing`.
    pub hit_ratio: f64,
    /// The share of the pass's requests that repeat an earlier one: no cache that begins empty can hit more.
    pub repeated: f64,
    /// Requests of the pass.
    pub requests: u64,
    /// Items of an answer on average, where answers are lists that can be read as they come.
    pub items_per_answer: Option<f64>,
    /// What else was counted of a request, by name.
    pub counted: BTreeMap<&'static str, f64>,
}

impl Observation {
    /// Statements a request.
    pub fn queries(&self) -> f64 {
        self.cost.queries_per_request.unwrap_or(0.0)
    }

    /// Shared buffers a request.
    pub fn buffers(&self) -> f64 {
        self.cost.buffers_per_request.unwrap_or(0.0)
    }

    /// What else was counted, by name; 0 for what was not.
    pub fn counted(&self, what: &str) -> f64 {
        self.counted.get(what).copied().unwrap_or(0.0)
    }

    /// Executions a request of the statements whose text contains this.
    pub fn calls_of(&self, text: &str) -> f64 {
        let statements = self
            .statements
            .iter()
            .filter(|statement| statement.text.contains(text));
        statements.map(|statement| statement.calls_per_request).sum()
    }

    /// Whether any statement's text contains this.
    pub fn any_statement_has(&self, text: &str) -> bool {
        self.statements
            .iter()
            .any(|statement| statement.text.contains(text))
    }

    /// Whether any statement's plan contains this.
    pub fn any_plan_has(&self, node: &str) -> bool {
        self.statements
            .iter()
            .filter_map(|statement| statement.plan.as_deref())
            .any(|plan| plan.contains(node))
    }

    /// The share of answers with this `content-encoding`.
    pub fn encoded(&self, encoding: &str) -> f64 {
        self.encodings.get(encoding).copied().unwrap_or(0.0)
    }
}

/// What was seen, and of what data.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    /// By scenario and arm.
    pub seen: BTreeMap<(String, String), Observation>,
    /// How many products there are.
    pub products: u64,
    /// How long their descriptions are on average.
    pub description_bytes: f64,
}

impl Observations {
    /// Nothing yet.
    pub fn of_data(facts: &Facts) -> Self {
        Self {
            seen: BTreeMap::new(),
            products: facts.products,
            description_bytes: facts.description_bytes,
        }
    }

    /// Of one arm under one scenario.
    ///
    /// # Errors
    /// When it was not observed: a comparison without an observation is void.
    pub fn of(&self, scenario: &str, arm: &str) -> Result<&Observation, String> {
        self.seen
            .get(&(scenario.to_owned(), arm.to_owned()))
            .ok_or_else(|| format!("{arm} was not observed under `{scenario}`"))
    }
}

/// An error that says what was expected, unless it is so.
pub fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
