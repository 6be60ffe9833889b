//! What the data holds: the names from which requests are built, and draws from them by popularity.

use anyhow::{Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::costs::LAB_MARK;

/// How many slugs are kept: the head of the distribution, which takes nearly all events.
const MOST_SLUGS: u64 = 50_000;

/// What the catalogue under test holds.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Products that are shown.
    pub products: u64,
    /// Their slugs, the best selling first, at most `MOST_SLUGS`.
    pub slugs: Vec<String>,
    /// Slugs of the leaves of the category tree, the largest first.
    pub categories: Vec<String>,
    /// Slugs of the brands, the largest first.
    pub brands: Vec<String>,
    /// Words that begin titles. Of generated data: coined names, which both arms of `search` find alike.
    pub words: Vec<String>,
    /// The seed of all draws.
    pub seed: u64,
}

impl Facts {
    /// Reads them from a database.
    ///
    /// # Errors
    /// When the catalogue is empty or cannot be read.
    pub async fn read(connection: &mut PgConnection, seed: u64) -> Result<Self> {
        let products: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
            "select count(*) from products where active {LAB_MARK}"
        )))
        .fetch_one(&mut *connection)
        .await?;
        ensure!(
            products > 0,
            "the catalogue is empty; generate or import one first"
        );
        let slugs = format!(
            "select slug from products where active order by sales_count desc, id limit {MOST_SLUGS}"
        );
        // The first word of a title; of generated titles it is the series' coined name of eight letters.
        let words = "select word from (select lower(split_part(title, ' ', 1)) as word from products where active) first \
                     where word ~ '^[a-z]{8}$' group by word having count(*) between 2 and 80 order by word limit 400";
        Ok(Self {
            products: products.unsigned_abs(),
            slugs: texts(connection, &slugs).await?,
            categories: texts(
                connection,
                "select c.slug from categories c join products p on p.category_id = c.id and p.active \
                 where not exists (select from categories below where below.parent_id = c.id) \
                 group by c.slug order by count(*) desc, c.slug limit 300",
            )
            .await?,
            brands: texts(
                connection,
                "select b.slug from brands b join products p on p.brand_id = b.id and p.active \
                 group by b.slug order by count(*) desc, b.slug limit 300",
            )
            .await?,
            words: texts(connection, words).await?,
            seed,
        })
    }

    /// Slugs drawn as often as their products sell: Zipf–Mandelbrot, p ∝ 1 / (rank + N/5000).
    pub fn popular_slugs(&self, count: usize) -> Vec<&str> {
        self.draw(&self.slugs, count, self.products)
    }

    /// Slugs that differ from each other, from all over the kept part: what a crawler asks for.
    pub fn different_slugs(&self, count: usize) -> Vec<&str> {
        let step = (self.slugs.len() / count.max(1)).max(1);
        self.slugs
            .iter()
            .step_by(step)
            .take(count)
            .map(String::as_str)
            .collect()
    }

    /// Categories, the larger the likelier.
    pub fn popular_categories(&self, count: usize) -> Vec<&str> {
        self.draw(&self.categories, count, self.categories.len() as u64)
    }

    /// Brands, the larger the likelier.
    pub fn popular_brands(&self, count: usize) -> Vec<&str> {
        self.draw(&self.brands, count, self.brands.len() as u64)
    }

    /// The share of all requests that the product of a rank, from 0, gets.
    pub fn share(&self, rank: usize) -> f64 {
        let offset = self.products as f64 / 5_000.0;
        let norm: f64 = ((self.products as f64 + offset) / offset).ln();
        1.0 / (rank as f64 + 1.0 + offset) / norm
    }

    /// The most that a cache with a time to live can hit when reads come at random: Σ pᵢ·RpᵢT / (1 + RpᵢT).
    pub fn hit_bound(&self, requests_per_s: f64, ttl_s: f64) -> f64 {
        (0..self.products as usize)
            .map(|rank| {
                let share = self.share(rank);
                let expected = requests_per_s * share * ttl_s;
                share * expected / (1.0 + expected)
            })
            .sum()
    }

    fn draw<'a>(&self, from: &'a [String], count: usize, population: u64) -> Vec<&'a str> {
        if from.is_empty() {
            return Vec::new();
        }
        let offset = (population as f64 / 5_000.0).max(1.0);
        let range = ((population as f64 + offset) / offset).ln();
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        (0..count)
            .map(|_| {
                let rank = offset * ((rng.random::<f64>() * range).exp() - 1.0);
                from[(rank as usize).min(from.len() - 1)].as_str()
            })
            .collect()
    }

    /// A small catalogue that is in no database.
    #[cfg(test)]
    pub fn for_tests() -> Self {
        let names = |kind: &str, count: usize| (0..count).map(|n| format!("{kind}-{n}")).collect();
        Self {
            products: 200_000,
            slugs: names("product", 5_000),
            categories: names("category", 50),
            brands: names("brand", 50),
            words: vec!["bramholm".into(), "clutdahl".into()],
            seed: 1,
        }
    }
}

async fn texts(connection: &mut PgConnection, sql: &str) -> Result<Vec<String>> {
    let sql = AssertSqlSafe(format!("{sql} {LAB_MARK}"));
    Ok(sqlx::query_scalar(sql).fetch_all(connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_with_the_seed_and_prefer_the_head() {
        let facts = Facts::for_tests();
        let drawn = facts.popular_slugs(2_000);
        assert_eq!(drawn, facts.popular_slugs(2_000));
        let head = facts.slugs[..200].iter().map(String::as_str).collect::<Vec<_>>();
        let in_head = drawn.iter().filter(|slug| head.contains(slug)).count();
        assert!(
            (200..1_200).contains(&in_head),
            "{in_head} of 2000 draws fell on the first 200 of 200000"
        );
    }

    #[test]
    fn the_hit_bound_grows_with_rate_and_stays_below_one() {
        let facts = Facts::for_tests();
        let (low, high) = (facts.hit_bound(200.0, 300.0), facts.hit_bound(5_000.0, 300.0));
        // The sum over 200k items at 300 s and 200 or 5 000 requests a second, computed apart: 60 and 91 %.
        assert!(
            (0.5..0.7).contains(&low) && (0.85..0.95).contains(&high),
            "{low} {high}"
        );
    }
}
