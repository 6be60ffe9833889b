//! A workload under which arms are compared.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Trial;
use crate::report::Shows;
use crate::trials::Delay;

/// One workload.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Short and unique within the lesson.
    pub name: String,
    /// What distinguishes it, for the report.
    pub parameters: BTreeMap<String, Value>,
    /// What it is there to show.
    pub shows: Shows,
    /// What is asked.
    pub requests: Requests,
    /// Delay injected between the api and its stores, one way.
    pub distance: Duration,
    /// How it is asked.
    pub load: Load,
    /// What is done to the cache before each slice.
    pub before: Before,
    /// The `accept-encoding` of the requests.
    pub accept_encoding: Option<&'static str>,
    /// How long the mail server takes.
    pub mails_take: Delay,
    /// Whether the quick mode leaves it out, for time.
    pub only_in_full: bool,
    /// Why the data cannot show it. Then it is named in the report, and not measured.
    pub missing: Option<String>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Requests {
    /// Every arm is asked for the same paths.
    Same(Vec<String>),
    /// Pages at a depth of a list: each arm is asked for the same pages by its own address of them.
    AtDepth {
        /// The list's path and query, without page, cursor and limit.
        list: String,
        /// Products before the first of the pages.
        depth: u64,
        /// Products a page.
        limit: u64,
    },
    /// Customers who are signed in ask for a path of their own, each with a token that the arm's shop gave.
    SignedIn {
        /// Whose: emails.
        customers: Vec<String>,
        /// What they ask for.
        path: &'static str,
        /// What the row of each sign-in keeps besides, in bytes. Customers who have the same are named by no scenario
        /// that says otherwise: it stays in the rows.
        session_bytes: u32,
    },
    /// These customers sign in, again and again.
    SignIns(Vec<String>),
    /// Requests that make something, each of which is sent once. Every arm gets the same ones, on data of its own.
    Once(Once),
    /// Statements that write, sent to the database itself.
    Writes(Writes),
    /// Orders, placed with all processes of a shop.
    Trial(Trial),
}

/// Requests that make something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Once {
    /// Somebody registers whom nobody knows.
    Registrations,
    /// A guest buys a cart that was filled beforehand.
    Orders {
        /// Its lines, of a unit each.
        lines: u16,
    },
}

/// A writing workload, in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// A new product with two variants, in one transaction.
    NewProduct,
    /// A variant's price, which the product's row repeats.
    Price,
    /// A unit sold: a variant's stock, which leaves some.
    Stock,
}

/// How it is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// One after the other, to be counted and not timed: exact costs, and nothing that has a spread.
    Counted,
    /// Open loop for latency and CPU.
    Latency,
    /// Open loop for latency and CPU, then a closed loop for throughput.
    LatencyAndThroughput,
    /// A closed loop of many clients, for what happens beyond the limit.
    Overload {
        /// How many.
        clients: usize,
    },
    /// Open loop at a low rate, while others keep slow requests under way on the same shop.
    BesideSlow(SlowOnes),
}

/// Clients that ask for something slow again and again, beside the requests that are measured.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowOnes {
    /// How many: so many slow requests are under way at any time.
    pub clients: usize,
    /// What they ask for.
    pub requests: Requests,
    /// Requests a second that are measured. Few, so that those who wait are not waiting for each other.
    pub measured_per_s: f64,
    /// What the shops of this scenario get in their environment, in place of the lesson's.
    pub environment: &'static [(&'static str, &'static str)],
}

/// What is done to the cache before each slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing: what was asked before is warm.
    Nothing,
    /// The arm's logical Redis database is emptied.
    EmptyCache,
}

impl Scenario {
    /// A workload of the same paths for every arm, that is there to show a gain.
    pub fn of(name: &str, paths: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            parameters: BTreeMap::new(),
            shows: Shows::Gain,
            requests: Requests::Same(paths),
            distance: Duration::ZERO,
            load: Load::Latency,
            before: Before::Nothing,
            accept_encoding: None,
            mails_take: Delay::NONE,
            only_in_full: false,
            missing: None,
        }
    }

    /// The same with another kind of requests.
    pub fn asking(mut self, requests: Requests) -> Self {
        self.requests = requests;
        self
    }

    /// The same with a parameter for the report.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.parameters.insert(name.to_owned(), value.into());
        self
    }

    /// The same at a distance from the stores.
    pub fn at_distance(mut self, one_way: Duration) -> Self {
        self.distance = one_way;
        self.with("distance_ms", json!(one_way.as_secs_f64() * 1_000.0))
    }

    /// The same, there to show a loss.
    pub fn showing_a_loss(mut self) -> Self {
        self.shows = Shows::Loss;
        self
    }

    /// The same under another load.
    pub fn under(mut self, load: Load) -> Self {
        self.load = load;
        self
    }

    /// The same with something done before each slice.
    pub fn after(mut self, before: Before) -> Self {
        self.before = before;
        self
    }

    /// The same with an `accept-encoding`.
    pub fn accepting(mut self, encodings: &'static str) -> Self {
        self.accept_encoding = Some(encodings);
        self
    }

    /// The same with a mail server that takes this long.
    pub fn with_mails_taking(mut self, median_ms: f64, p99_ms: f64) -> Self {
        self.mails_take = Delay::of(median_ms, p99_ms);
        self.with("mail_server_median_ms", median_ms)
            .with("mail_server_p99_ms", p99_ms)
    }

    /// The same, left out by the quick mode.
    pub fn only_in_full(mut self) -> Self {
        self.only_in_full = true;
        self
    }

    /// The same, left out for a reason that the data gives, if it gives one.
    pub fn missing(mut self, because: Option<String>) -> Self {
        self.missing = because;
        self
    }

    /// Whether it asks for anything.
    pub fn has_requests(&self) -> bool {
        match &self.requests {
            Requests::Same(paths) => !paths.is_empty(),
            Requests::AtDepth { limit, .. } => *limit > 0,
            Requests::SignedIn { customers, .. } | Requests::SignIns(customers) => !customers.is_empty(),
            Requests::Once(_) | Requests::Writes(_) | Requests::Trial(_) => true,
        }
    }
}
