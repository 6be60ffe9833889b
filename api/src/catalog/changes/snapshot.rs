//! Postgres' `pg_snapshot`: the transactions that an earlier read could see.

use std::fmt;

/// Includes all transactions before `next`, except the running ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All transactions before this one had ended (`xmin`).
    oldest: u64,
    /// This transaction and all later ones had not begun (`xmax`).
    next: u64,
    /// Transactions in progress, sorted (`xip`).
    running: Vec<u64>,
}

impl Snapshot {
    /// `running` must be sorted.
    pub fn new(oldest: u64, next: u64, running: Vec<u64>) -> Self {
        Self {
            oldest,
            next,
            running,
        }
    }

    /// Parses the text form, for example `10:20:10,14,15`.
    ///
    /// # Errors
    /// When the text isn't a `pg_snapshot`.
    pub fn parse(text: &str) -> Result<Self, sqlx::Error> {
        Self::parse_parts(text).ok_or_else(|| sqlx::Error::Protocol(format!("`{text}` is no pg_snapshot")))
    }

    fn parse_parts(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let oldest = parts.next()?.parse().ok()?;
        let next = parts.next()?.parse().ok()?;
        let running = parts.next()?.split(',').filter(|id| !id.is_empty());
        let running = running.map(|id| id.parse().ok()).collect::<Option<Vec<u64>>>()?;
        Some(Self {
            oldest,
            next,
            running,
        })
    }

    /// Whether a reader with this snapshot sees the transaction's writes, provided that it has committed by now.
    pub fn sees(&self, transaction: u64) -> bool {
        transaction < self.oldest
            || transaction < self.next && self.running.binary_search(&transaction).is_err()
    }

    /// Whether this snapshot sees everything that the other sees: it was taken at the same time or later. Both must be of
    /// one database.
    pub fn includes(&self, other: &Self) -> bool {
        let before = |transaction: &&u64| **transaction < other.next;
        self.next >= other.next
            && self
                .running
                .iter()
                .take_while(before)
                .all(|transaction| !other.sees(*transaction))
    }

    /// All transactions before this one had ended.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// This transaction and all later ones had not begun.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Transactions in progress, sorted.
    pub fn running(&self) -> &[u64] {
        &self.running
    }
}

/// Postgres' text form.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.oldest, self.next)?;
        for (index, transaction) in self.running.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{transaction}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_parsed_and_formatted_as_by_postgres() {
        for text in ["10:20:10,14,15", "730:730:", "5:9:7"] {
            assert_eq!(Snapshot::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "1", "1:2", "1:x:", "1:2:3,x"] {
            assert!(Snapshot::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_snapshot_includes_earlier_snapshots() {
        let includes = |later: &str, earlier: &str| {
            Snapshot::parse(later)
                .unwrap()
                .includes(&Snapshot::parse(earlier).unwrap())
        };
        assert!(includes("10:20:10,14", "10:20:10,14"));
        assert!(includes("14:25:14,21", "10:20:10,14"));
        assert!(!includes("10:20:10,14", "14:20:14"), "10 ended in between");
        assert!(!includes("10:20:10", "21:21:"));
    }

    #[test]
    fn a_snapshot_sees_the_transactions_that_had_ended() {
        let snapshot = Snapshot::parse("10:20:10,14,15").unwrap();
        let seen: Vec<u64> = (8..22).filter(|id| snapshot.sees(*id)).collect();
        assert_eq!(seen, [8, 9, 11, 12, 13, 16, 17, 18, 19]);
    }
}
