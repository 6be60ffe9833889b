//! The latency of a simulated service: a log-normal distribution, drawn from a seeded random stream.
//!
//! Service times have a lower bound and a long tail; the log-normal is the usual model for them (Limpert, Stahel and
//! Abbt, "Log-normal Distributions across the Sciences", BioScience 51(5), 2001). Two numbers that operators know
//! define it: `median = exp(μ)`, `p99 = exp(μ + 2.326 σ)`. [`crate::fault_injection`] draws once per request.

use std::f64::consts::TAU;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The 0.99 quantile of the standard normal distribution.
const NORMAL_P99: f64 = 2.326_347_874_040_841;

/// Caps the distribution's tail, which has no end.
pub const MAX_DELAY_MS: f64 = 600_000.0;

/// A latency distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    median_ms: f64,
    sigma: f64,
}

impl Latency {
    /// Two zeros mean no delay, and two equal numbers a constant delay.
    ///
    /// # Errors
    /// When the two numbers don't define a distribution. The message says what is allowed.
    pub fn new(median_ms: f64, p99_ms: f64) -> Result<Self, String> {
        let is_none = median_ms == 0.0 && p99_ms == 0.0;
        let is_some = median_ms > 0.0 && median_ms <= p99_ms && p99_ms <= MAX_DELAY_MS;
        if !is_none && !is_some {
            return Err(format!(
                "`latency_median_ms` and `latency_p99_ms` must both be 0, or 0 < median <= p99 <= {MAX_DELAY_MS}"
            ));
        }
        let sigma = if is_none {
            0.0
        } else {
            (p99_ms / median_ms).ln() / NORMAL_P99
        };
        Ok(Self { median_ms, sigma })
    }

    /// The delay for a value drawn from the standard normal distribution.
    pub fn at(self, normal: f64) -> Duration {
        let millis = self.median_ms * (self.sigma * normal).exp();
        Duration::from_secs_f64(millis.min(MAX_DELAY_MS) / 1_000.0)
    }
}

/// The random values of one request. Both are always drawn, so that the n-th request of a seed gets the same values under
/// different latency and failure settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Standard normal.
    pub normal: f64,
    /// Uniform in [0, 1).
    pub share: f64,
}

/// A random stream. The same seed and service number give the same stream.
#[derive(Debug)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// Each service has its own stream, so that requests to one don't change the draws of another.
    pub fn new(seed: u64, service: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(service);
        Self(generator)
    }

    /// The values of the next request.
    pub fn draw(&mut self) -> Draw {
        // The Box–Muller transform. `1 - radius` is in (0, 1], which has a logarithm.
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
        let sequence = |seed, service| {
            let mut draws = Draws::new(seed, service);
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
    fn the_drawn_median_and_p99_match_the_settings() {
        let latency = Latency::new(120.0, 400.0).unwrap();
        let mut draws = Draws::new(42, 1);
        let mut millis: Vec<f64> = (0..100_000)
            .map(|_| latency.at(draws.draw().normal).as_secs_f64() * 1_000.0)
            .collect();
        millis.sort_by(f64::total_cmp);
        // The seed is fixed, so this can't be flaky: 2 % covers the sampling error of 100 000 draws.
        assert!((millis[50_000] / 120.0 - 1.0).abs() < 0.02, "{}", millis[50_000]);
        assert!((millis[99_000] / 400.0 - 1.0).abs() < 0.02, "{}", millis[99_000]);
    }

    #[test]
    fn equal_median_and_p99_give_a_constant_and_zeros_give_no_delay() {
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
    fn numbers_that_define_no_distribution_are_rejected() {
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
    fn the_tail_is_capped() {
        let longest = Latency::new(1.0, 600_000.0).unwrap().at(8.0);
        assert_eq!(longest, Duration::from_secs(600));
    }
}
