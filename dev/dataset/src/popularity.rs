//! Which products sell: Zipf–Mandelbrot, p ∝ 1 / (rank + N/5000).
//!
//! The flat head (N/5000) keeps the first product from taking a tenth of all sales, as plain Zipf would have it. From
//! 200 000 products up the top 5, 10 and 20 % get about 65, 73 and 81 % of events, close to the quantiles published
//! for the OTTO data set of e-commerce sessions. Ranks are shuffled against age, so that no sort order of the shop
//! happens to be the order of rows on disk.

use super::rng::{Purpose, RowRng, Shuffle, exp};

/// Units sold for each product on average.
const MEAN_SALES: f64 = 50.0;

/// The distribution of sales over the products of a catalogue.
#[derive(Debug, Clone)]
pub struct Popularity {
    products: u64,
    offset: f64,
    harmonic: f64,
    log_range: f64,
    shuffle: Shuffle,
}

impl Popularity {
    /// The distribution over `products` products.
    pub fn new(seed: u64, products: u64) -> Self {
        let offset = products as f64 / 5_000.0;
        Self {
            products,
            offset,
            harmonic: (1..=products).map(|rank| 1.0 / (rank as f64 + offset)).sum(),
            log_range: log_of_5001(),
            shuffle: Shuffle::new(seed, Purpose::PopularityShuffle, products),
        }
    }

    /// The rank of a product, from 0: the best selling one has 0.
    pub fn rank(&self, product: u64) -> u64 {
        self.shuffle.forward(product)
    }

    /// The product that has a rank.
    pub fn product(&self, rank: u64) -> u64 {
        self.shuffle.backward(rank)
    }

    /// The share of all events that the product of a rank gets. The shares add up to 1.
    pub fn share(&self, rank: u64) -> f64 {
        1.0 / ((rank + 1) as f64 + self.offset) / self.harmonic
    }

    /// Units sold of the product of a rank.
    pub fn sales(&self, rank: u64) -> i64 {
        (MEAN_SALES * self.products as f64 * self.share(rank) + 0.5) as i64
    }

    /// A product, drawn as often as it sells.
    pub fn draw(&self, rng: &mut RowRng) -> u64 {
        // The inverse of the continuous distribution function, ln((rank + offset) / offset) / ln(5001).
        let rank = self.offset * (exp(rng.unit() * self.log_range) - 1.0);
        self.product((rank as u64).min(self.products - 1))
    }
}

/// ln((N + N/5000) / (N/5000)), whatever N is. Written out, since `ln` may differ between platforms.
const fn log_of_5001() -> f64 {
    8.517_393_171_418_904
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_of_top(popularity: &Popularity, percent: u64) -> f64 {
        (0..popularity.products * percent / 100)
            .map(|rank| popularity.share(rank))
            .sum()
    }

    #[test]
    fn the_head_gets_the_share_of_a_real_shop() {
        for products in [200_000, 1_000_000] {
            let popularity = Popularity::new(1, products);
            for (percent, expected) in [(5, 0.65), (10, 0.73), (20, 0.81), (100, 1.0)] {
                let share = share_of_top(&popularity, percent);
                assert!(
                    (share - expected).abs() < 0.005,
                    "top {percent} % of {products}: {share}"
                );
            }
        }
    }

    #[test]
    fn draws_follow_the_shares() {
        let popularity = Popularity::new(1, 200_000);
        let mut rng = RowRng::new(1, Purpose::ReviewSubject, 0);
        let draws = 50_000;
        let in_top_tenth = (0..draws)
            .filter(|_| popularity.rank(popularity.draw(&mut rng)) < 20_000)
            .count();
        let share = in_top_tenth as f64 / f64::from(draws);
        assert!((share - 0.73).abs() < 0.01, "{share}");
    }

    #[test]
    fn age_says_nothing_about_rank() {
        let popularity = Popularity::new(1, 1_000);
        let mean_of_oldest = (0..500).map(|product| popularity.rank(product)).sum::<u64>() / 500;
        assert!((400..600).contains(&mean_of_oldest), "{mean_of_oldest}");
    }

    #[test]
    fn the_written_logarithm_is_right() {
        assert!((log_of_5001() - 5001_f64.ln()).abs() < 1e-12);
    }
}
