//! How orders are distributed over customers: a Zipf–Mandelbrot distribution, p ∝ 1 / (rank + N/100) for N customers.
//!
//! The top fifth of the customers places about two thirds of the orders. In 339 public companies outside of packaged
//! goods, the top fifth accounts for 67 % of sales, and for 68 % without subscriptions (McCarthy and Winer, "The Pareto
//! rule in marketing revisited: is it 80/20 or 70/20?", Marketing Letters 30, 2019). With ten orders per customer on
//! average, the top customer has about 200, half of the customers have about four or fewer, and some have none.

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

    /// Draws the customer of an order.
    pub fn draw(&self, rng: &mut RowRng) -> u64 {
        // Inverse transform sampling with the continuous distribution function, ln((rank + offset) / offset) / ln(101).
        let offset = self.customers as f64 / 100.0;
        let rank = offset * (exp(rng.unit() * LOG_OF_101) - 1.0);
        self.customer((rank as u64).min(self.customers - 1))
    }

    /// The customer at a rank, from 0. The customer to sign in as swaps ranks with the one at 5 %, so they have some
    /// dozens of orders with every seed and scale.
    fn customer(&self, rank: u64) -> u64 {
        let rank_of_customer = self.customers / 20;
        let customer = self.shuffle.backward(rank);
        if rank == rank_of_customer {
            CUSTOMER
        } else if customer == CUSTOMER {
            self.shuffle.backward(rank_of_customer)
        } else {
            customer
        }
    }
}

/// ln((N + N/100) / (N/100)), for every N. A literal, because `ln` may differ between platforms.
const LOG_OF_101: f64 = 4.615_120_516_841_26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_fifth_places_two_thirds_of_the_orders_and_the_tail_is_heavy() {
        let customers = 20_000;
        let buyers = Buyers::new(1, customers);
        let mut rng = RowRng::new(1, Purpose::Order, 0);
        let mut orders = vec![0_u32; customers as usize];
        for _ in 0..10 * customers {
            orders[buyers.draw(&mut rng) as usize] += 1;
        }
        assert!((20..60).contains(&orders[CUSTOMER as usize]));
        orders.sort_unstable_by(|one, other| other.cmp(one));
        let top_fifth: u32 = orders[..4_000].iter().sum();
        let share = f64::from(top_fifth) / 200_000.0;
        assert!((0.65..0.70).contains(&share), "{share}");
        assert!((150..300).contains(&orders[0]), "{}", orders[0]);
        assert!((3..=6).contains(&orders[10_000]), "{}", orders[10_000]);
        assert!(orders[19_999] == 0);
    }

    #[test]
    fn every_rank_has_a_different_customer() {
        let buyers = Buyers::new(3, 200);
        let mut customers: Vec<u64> = (0..200).map(|rank| buyers.customer(rank)).collect();
        customers.sort_unstable();
        assert!(customers.into_iter().eq(0..200));
    }

    #[test]
    fn the_literal_logarithm_is_correct() {
        assert!((LOG_OF_101 - 101_f64.ln()).abs() < 1e-12);
    }
}
