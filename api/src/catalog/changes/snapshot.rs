//! Which transactions an earlier read saw: Postgres' `pg_snapshot`.

use std::fmt;

/// All transactions before `next`, except those that were running.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All before it had ended.
    oldest: u64,
    /// The first that had not begun.
    next: u64,
    /// Those between that had not ended, in order.
    running: Vec<u64>,
}

impl Snapshot {
    /// From its parts. `running` is sorted.
    pub fn new(oldest: u64, next: u64, running: Vec<u64>) -> Self {
        Self {
            oldest,
            next,
            running,
        }
    }

    /// Reads the text form, for example `10:20:10,14,15`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, sqlx::Error> {
        Self::parts(text).ok_or_else(|| sqlx::Error::Protocol(format!("`{text}` is no pg_snapshot")))
    }

    fn parts(text: &str) -> Option<Self> {
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

    /// Whether a reader with this snapshot sees what the transaction wrote, given that it has committed by now.
    pub fn shows(&self, transaction: u64) -> bool {
        transaction < self.oldest
            || transaction < self.next && self.running.binary_search(&transaction).is_err()
    }

    /// Whether this shows all that the other shows: it was taken at the same time or later, of one database.
    pub fn includes(&self, other: &Self) -> bool {
        let before = |transaction: &&u64| **transaction < other.next;
        self.next >= other.next
            && self
                .running
                .iter()
                .take_while(before)
                .all(|transaction| !other.shows(*transaction))
    }

    /// All transactions before this had ended.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// No transaction from this on had begun.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Those that had begun and not ended, in order.
    pub fn running(&self) -> &[u64] {
        &self.running
    }
}

/// As Postgres writes it.
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
    fn a_snapshot_is_read_and_written_as_postgres_does() {
        for text in ["10:20:10,14,15", "730:730:", "5:9:7"] {
            assert_eq!(Snapshot::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "1", "1:2", "1:x:", "1:2:3,x"] {
            assert!(Snapshot::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_snapshot_includes_those_that_were_taken_before_it() {
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
    fn a_snapshot_shows_what_had_ended() {
        let snapshot = Snapshot::parse("10:20:10,14,15").unwrap();
        let shown: Vec<u64> = (8..22).filter(|id| snapshot.shows(*id)).collect();
        assert_eq!(shown, [8, 9, 11, 12, 13, 16, 17, 18, 19]);
    }
}
