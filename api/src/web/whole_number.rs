//! Bounded integers in JSON bodies.

use serde::{Deserialize, Deserializer};

/// An integer from `MIN` to `MAX`. Fractions, strings and numbers out of bounds are rejected; nothing is rounded or
/// clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeNumber<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> WholeNumber<MIN, MAX> {
    /// From `MIN` to `MAX`, both included.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for WholeNumber<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fault = || serde::de::Error::custom(format!("is not a whole number from {MIN} to {MAX}"));
        // Parsed as any number first: serde_json's own message for one that is too large names our types.
        let given = serde_json::Number::deserialize(deserializer).map_err(|_| fault())?;
        match given.as_i64() {
            Some(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(fault()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_within_the_bounds_are_read() {
        let read = |json: &str| serde_json::from_str::<WholeNumber<0, 1000>>(json).map(WholeNumber::get);
        for (json, number) in [("0", 0), ("1000", 1000), ("7", 7)] {
            assert_eq!(read(json).unwrap(), number);
        }
        for json in [
            "-1",
            "1001",
            "1.5",
            "1.0",
            "1e2",
            "99999999999999999999",
            "-99999999999999999999",
            "1e999",
            "\"1\"",
            "null",
            "true",
            "[1]",
            "{}",
            "",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
        let fault = read("1.5").unwrap_err().to_string();
        assert!(fault.contains("not a whole number from 0 to 1000"), "{fault}");
    }
}
