//! Who buys how much: Zipf–Mandelbrot, p ∝ 1 / (rank + N/100) for N customers.
//!
//! The best fifth of the customers makes about two thirds of the orders, as in 339 public companies outside of packaged
//! goods, where it makes 67 % of sales, and 68 % without subscriptions (McCarthy and Winer, "The Pareto rule in
//! marketing revisited: is it 80/20 or 70/20?", Marketing Letters 30, 2019). With ten orders a customer on average, the
//! best has some hundreds, half of them three or fewer, and some none.

use crate::rng::{Purpose, RowRng, Shuffle, exp};
use crate::tables::customers::CUSTOMER;

/// The distribution of orders over customers.
#[derive(Debug, Clone)]
pub struct Buyers {
    customers: u64,
    shuffle: Shuffle,
}

impl Buyers {
    /// The distribution over `customers` customers.
    pub fn new(seed: u64, customers: u64) -> Self {
        Self {
            customers,
            shuffle: Shuffle::new(seed, Purpose::CustomerShuffle, customers),
        }
    }

    /// A customer, drawn as often as they buy.
    pub fn draw(&self, rng: &mut RowRng) -> u64 {
        // The inverse of the continuous distribution function, ln((rank + offset) / offset) / ln(101).
        let offset = self.customers as f64 / 100.0;
        let rank = offset * (exp(rng.unit() * LOG_OF_101) - 1.0);
        self.customer((rank as u64).min(self.customers - 1))
    }

    /// The customer that has a rank, from 0. The one to sign in as is seen to buy often, by changing places: whatever
    /// the seed and the scale, they have some dozens of orders.
    fn customer(&self, rank: u64) -> u64 {
        let often = self.customers / 20;
        let customer = self.shuffle.backward(rank);
        if rank == often {
            CUSTOMER
        } else if customer == CUSTOMER {
            self.shuffle.backward(often)
        } else {
            customer
        }
    }
}

/// ln((N + N/100) / (N/100)), whatever N is. Written out, since `ln` may differ between platforms.
const LOG_OF_101: f64 = 4.615_120_516_841_26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_fifth_makes_two_thirds_and_the_tail_is_heavy() {
        let customers = 20_000;
        let buyers = Buyers::new(1, customers);
        let mut rng = RowRng::new(1, Purpose::Order, 0);
        let mut orders = vec![0_u32; customers as usize];
        for _ in 0..10 * customers {
            orders[buyers.draw(&mut rng) as usize] += 1;
        }
        assert!((20..60).contains(&orders[CUSTOMER as usize]));
        orders.sort_unstable_by(|one, other| other.cmp(one));
        let best_fifth: u32 = orders[..4_000].iter().sum();
        let share = f64::from(best_fifth) / 200_000.0;
        assert!((0.65..0.70).contains(&share), "{share}");
        assert!((150..300).contains(&orders[0]), "{}", orders[0]);
        assert!((3..=6).contains(&orders[10_000]), "{}", orders[10_000]);
        assert!(orders[19_999] == 0);
    }

    #[test]
    fn every_rank_has_a_customer_of_its_own() {
        let buyers = Buyers::new(3, 200);
        let mut customers: Vec<u64> = (0..200).map(|rank| buyers.customer(rank)).collect();
        customers.sort_unstable();
        assert!(customers.into_iter().eq(0..200));
    }

    #[test]
    fn the_written_logarithm_is_right() {
        assert!((LOG_OF_101 - 101_f64.ln()).abs() < 1e-12);
    }
}
