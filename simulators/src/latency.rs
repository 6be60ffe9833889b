//! How long a third party takes: a log-normal distribution, drawn from a seeded stream.
//!
//! Durations of services are bounded below and have a long tail above; the log-normal is the usual model of such
//! measures (Limpert, Stahel and Abbt, "Log-normal Distributions across the Sciences", BioScience 51(5), 2001). Two
//! numbers fix it, and both are what operators know of a service: `median = exp(μ)`, `p99 = exp(μ + 2.326 σ)`.
//! [`crate::conduct`] draws from here, once for each request.

use std::f64::consts::TAU;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The standard normal distribution's quantile of 0.99.
const NORMAL_P99: f64 = 2.326_347_874_040_841;

/// No delay is longer, whatever was drawn: the distribution's tail has no end, a test's patience has.
pub const LONGEST_MS: f64 = 600_000.0;

/// A distribution of delays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    median_ms: f64,
    sigma: f64,
}

impl Latency {
    /// Both 0: no delay at all. Both alike: always that delay.
    ///
    /// # Errors
    /// When the two numbers describe no distribution; the message says what is allowed.
    pub fn new(median_ms: f64, p99_ms: f64) -> Result<Self, String> {
        let is_none = median_ms == 0.0 && p99_ms == 0.0;
        let is_some = median_ms > 0.0 && median_ms <= p99_ms && p99_ms <= LONGEST_MS;
        if !is_none && !is_some {
            return Err(format!(
                "`latency_median_ms` and `latency_p99_ms` must both be 0, or 0 < median <= p99 <= {LONGEST_MS}"
            ));
        }
        let sigma = if is_none {
            0.0
        } else {
            (p99_ms / median_ms).ln() / NORMAL_P99
        };
        Ok(Self { median_ms, sigma })
    }

    /// The delay at a value of the standard normal distribution.
    pub fn at(self, normal: f64) -> Duration {
        let millis = self.median_ms * (self.sigma * normal).exp();
        Duration::from_secs_f64(millis.min(LONGEST_MS) / 1_000.0)
    }
}

/// What chance decides about one request. It is drawn whole whatever the settings are, so that the n-th request of a
/// seed meets the same luck when latency or failures are set otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// From the standard normal distribution.
    pub normal: f64,
    /// Evenly from 0 to below 1.
    pub share: f64,
}

/// A stream of draws. The same seed and party give the same stream.
#[derive(Debug)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// Each party has a stream of its own, so that requests to one don't move the luck of another.
    pub fn new(seed: u64, party: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(party);
        Self(generator)
    }

    /// The next request's luck.
    pub fn draw(&mut self) -> Draw {
        // Box and Muller's transform; the first number is taken from above 0 to 1, for its logarithm.
        let (radius, angle, share): (f64, f64, f64) = (self.0.random(), self.0.random(), self.0.random());
        let normal = (-2.0 * (1.0 - radius).ln()).sqrt() * (TAU * angle).cos();
        Draw { normal, share }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence_and_another_seed_or_party_does_not() {
        let sequence = |seed, party| {
            let mut draws = Draws::new(seed, party);
            (0..100).map(|_| draws.draw()).collect::<Vec<_>>()
        };
        assert_eq!(sequence(7, 1), sequence(7, 1));
        assert_ne!(sequence(7, 1), sequence(8, 1));
        assert_ne!(sequence(7, 1), sequence(7, 2));
    }

    #[test]
    fn the_stream_of_a_seed_is_fixed() {
        let mut draws = Draws::new(1, 1);
        let micros: Vec<u128> = (0..5)
            .map(|_| {
                Latency::new(120.0, 400.0)
                    .unwrap()
                    .at(draws.draw().normal)
                    .as_micros()
            })
            .collect();
        assert_eq!(micros, [313_462, 151_371, 76_642, 96_530, 214_453]);
    }

    #[test]
    fn median_and_p99_are_those_that_were_asked_for() {
        let latency = Latency::new(120.0, 400.0).unwrap();
        let mut draws = Draws::new(42, 1);
        let mut millis: Vec<f64> = (0..100_000)
            .map(|_| latency.at(draws.draw().normal).as_secs_f64() * 1_000.0)
            .collect();
        millis.sort_by(f64::total_cmp);
        // The seed is fixed, so these are no chances: 2 % covers the sampling error of 100 000 draws.
        assert!((millis[50_000] / 120.0 - 1.0).abs() < 0.02, "{}", millis[50_000]);
        assert!((millis[99_000] / 400.0 - 1.0).abs() < 0.02, "{}", millis[99_000]);
    }

    #[test]
    fn equal_median_and_p99_are_a_constant_and_zeros_are_no_delay() {
        let mut draws = Draws::new(1, 1);
        for _ in 0..100 {
            let normal = draws.draw().normal;
            assert_eq!(
                Latency::new(20.0, 20.0).unwrap().at(normal),
                Duration::from_millis(20)
            );
            assert_eq!(Latency::new(0.0, 0.0).unwrap().at(normal), Duration::ZERO);
        }
    }

    #[test]
    fn numbers_that_describe_no_distribution_are_refused() {
        for (median, p99) in [
            (-1.0, 5.0),
            (5.0, 4.0),
            (0.0, 5.0),
            (5.0, 0.0),
            (1.0, 600_001.0),
            (f64::NAN, 1.0),
            (1.0, f64::INFINITY),
        ] {
            assert!(Latency::new(median, p99).is_err(), "{median} {p99}");
        }
    }

    #[test]
    fn the_tail_ends() {
        let longest = Latency::new(1.0, 600_000.0).unwrap().at(8.0);
        assert_eq!(longest, Duration::from_secs(600));
    }
}
