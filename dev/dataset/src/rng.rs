//! Chance that repeats itself: a stream of numbers for each (seed, purpose, index), and shuffles that need no memory.
//!
//! Every row draws from a stream of its own, so that rows can be made in any order and by any number of threads, and
//! a change to one table leaves the others as they were. Streams are ChaCha8, whose output is fixed by specification.
//! What is computed from them uses `+ - * /`, square roots and comparisons only, which IEEE 754 defines to the last bit:
//! `ln` and `powf` come from the platform's library, and could differ from machine to machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream of numbers is for. The numbers are part of the data: renumbering changes every catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Ids and places of categories.
    Category = 1,
    /// Ids and departments of brands.
    Brand = 2,
    /// Brand and department of a series.
    Series = 3,
    /// What a product is.
    Product = 4,
    /// The texts of a product.
    Description = 5,
    /// The variants of a product.
    Variants = 6,
    /// The images of a product.
    Images = 7,
    /// Which product a review is of, and its stars.
    ReviewSubject = 8,
    /// The words of a review.
    ReviewText = 9,
    /// Whether neighbours in time share their timestamp.
    Moment = 10,
    /// The shuffle that gives each product its rank of popularity.
    PopularityShuffle = 11,
    /// The shuffle that gives each product its series.
    SeriesShuffle = 12,
    /// The shuffle that gives each series its word.
    WordShuffle = 13,
    /// When a product was last changed.
    Update = 14,
    /// Who a customer is.
    Customer = 15,
    /// The shuffle that gives each customer a rank among the buyers.
    CustomerShuffle = 16,
    /// The addresses of a customer.
    Addresses = 17,
    /// When an order was made, and what became of it.
    Order = 18,
    /// What was bought.
    OrderLines = 19,
    /// Who made an order.
    OrderBuyer = 20,
    /// The ids of an order's events.
    OrderEvents = 21,
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct RowRng(ChaCha8Rng);

impl RowRng {
    /// The stream for one row.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut key = *b"01234567: backstock catalogue v1";
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream((u64::from(purpose as u8) << 56) | index);
        Self(generator)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A whole number in `0..bound`. The bias of the multiplication is below 2⁻³² for bounds that fit in 32 bits.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A whole number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True in `percent` of cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, each as likely.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// The index of one of `weights`, as likely as its weight says.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        unreachable!("the number drawn is below the sum of the weights")
    }

    /// A number from the standard normal distribution, nearly: the sum of twelve uniform ones (Irwin–Hall), whose
    /// tails end at ±6. It needs no logarithm.
    pub fn normal(&mut self) -> f64 {
        let mut sum = -6.0;
        for _ in 0..6 {
            let bits = self.bits();
            sum += (bits >> 32) as f64 / 4_294_967_296.0;
            sum += (bits & 0xFFFF_FFFF) as f64 / 4_294_967_296.0;
        }
        sum
    }
}

/// e to the power of `x`, from exact operations only: the same bits on every machine.
pub fn exp(x: f64) -> f64 {
    let small = x / 1024.0;
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..=8 {
        term = term * small / f64::from(n);
        sum += term;
    }
    // exp(x) = exp(x / 1024)^1024: ten squarings.
    for _ in 0..10 {
        sum *= sum;
    }
    sum
}

/// A shuffle of `0..size` that is computed, not stored: a four-round Feistel network over the next power of four,
/// walked until it lands inside. Both directions cost the same.
#[derive(Debug, Clone, Copy)]
pub struct Shuffle {
    size: u64,
    half_bits: u32,
    keys: [u64; 4],
}

impl Shuffle {
    /// The shuffle of `0..size` for a seed and a purpose.
    pub fn new(seed: u64, purpose: Purpose, size: u64) -> Self {
        let mut rng = RowRng::new(seed, purpose, 0);
        let bits = u64::BITS - size.saturating_sub(1).leading_zeros();
        Self {
            size,
            half_bits: bits.div_ceil(2).max(1),
            keys: std::array::from_fn(|_| rng.bits()),
        }
    }

    /// Where `index` goes.
    pub fn forward(&self, index: u64) -> u64 {
        self.walk(index, |shuffle, value| {
            let (mut left, mut right) = shuffle.split(value);
            for key in shuffle.keys {
                (left, right) = (right, left ^ shuffle.mix(right, key));
            }
            (left << shuffle.half_bits) | right
        })
    }

    /// What `forward` sends to `place`.
    pub fn backward(&self, place: u64) -> u64 {
        self.walk(place, |shuffle, value| {
            let (mut left, mut right) = shuffle.split(value);
            for key in shuffle.keys.iter().rev() {
                (left, right) = (right ^ shuffle.mix(left, *key), left);
            }
            (left << shuffle.half_bits) | right
        })
    }

    fn walk(&self, start: u64, step: impl Fn(&Self, u64) -> u64) -> u64 {
        assert!(
            start < self.size,
            "a shuffle of {} has no place {start}",
            self.size
        );
        let mut value = step(self, start);
        while value >= self.size {
            value = step(self, value);
        }
        value
    }

    fn split(&self, value: u64) -> (u64, u64) {
        (value >> self.half_bits, value & self.mask())
    }

    fn mask(&self) -> u64 {
        (1 << self.half_bits) - 1
    }

    // The finalizer of SplitMix64: cheap, and every input bit reaches every output bit.
    fn mix(&self, value: u64, key: u64) -> u64 {
        let mut mixed = value ^ key;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) & self.mask()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_visits_every_place_once_and_can_be_undone() {
        for size in [1, 2, 50, 1_000, 4_097] {
            let shuffle = Shuffle::new(7, Purpose::SeriesShuffle, size);
            let mut seen = vec![false; size as usize];
            for index in 0..size {
                let place = shuffle.forward(index);
                assert!(!std::mem::replace(&mut seen[place as usize], true));
                assert_eq!(shuffle.backward(place), index);
            }
        }
    }

    #[test]
    fn exp_agrees_with_the_platform() {
        for tenth in -60..=90 {
            let x = f64::from(tenth) / 10.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-11, "exp({x})");
        }
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut rng = RowRng::new(1, Purpose::Product, 0);
        let draws: Vec<f64> = (0..20_000).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.03, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_index() {
        let first = |seed, purpose, index| RowRng::new(seed, purpose, index).bits();
        let base = first(1, Purpose::Product, 0);
        assert_eq!(base, first(1, Purpose::Product, 0));
        assert_ne!(base, first(2, Purpose::Product, 0));
        assert_ne!(base, first(1, Purpose::Variants, 0));
        assert_ne!(base, first(1, Purpose::Product, 1));
    }
}
