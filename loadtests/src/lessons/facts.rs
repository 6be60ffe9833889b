//! What the data holds: the names from which requests are built, and draws from them by popularity.

use anyhow::{Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sqlx::{AssertSqlSafe, PgConnection};

use super::words::{self, Words};
use crate::costs::LAB_MARK;

/// How many slugs are kept: the head of the distribution, which takes nearly all events.
const MOST_SLUGS: u64 = 50_000;

/// Products on a page that nobody limits.
const FULL_PAGE: i64 = 20;

/// How many customers are kept: each scenario signs a few of them in.
const CUSTOMERS: usize = 48;

/// Customers of a scenario. Signing one in takes the time of a hash.
pub const SIGNED_IN: usize = 16;

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
    /// Of the categories in `categories`, how many products the smallest has.
    pub fewest_in_a_category: u64,
    /// Words that few products have, which both arms of `search` find alike.
    pub words: Vec<String>,
    /// A word that more products have than fit on a page, which both arms of `search` find alike, if there is one.
    pub common_word: Option<String>,
    /// How long a description is on average.
    pub description_bytes: f64,
    /// Emails of customers who can be signed in.
    pub customers: Vec<String>,
    /// Of these, emails of some who have more orders than fit on a page.
    pub frequent_buyers: Vec<String>,
    /// And of some who have one.
    pub once_buyers: Vec<String>,
    /// The seed of all draws.
    pub seed: u64,
}

impl Facts {
    /// Reads them from a database of generated data.
    ///
    /// # Errors
    /// When the catalogue is empty or cannot be read.
    pub async fn read(connection: &mut PgConnection, seed: u64) -> Result<Self> {
        let words = words::generated(connection).await?;
        Self::with_words(connection, seed, words, 1).await
    }

    /// Reads them from a database of imported data.
    ///
    /// # Errors
    /// When no product is shown, or the database cannot be read.
    pub async fn read_imported(connection: &mut PgConnection, seed: u64) -> Result<Self> {
        let words = words::found_alike(connection).await?;
        Self::with_words(connection, seed, words, FULL_PAGE).await
    }

    /// `page`: categories with fewer products are left out, as long as there are others.
    async fn with_words(connection: &mut PgConnection, seed: u64, words: Words, page: i64) -> Result<Self> {
        let (products, description_bytes): (i64, f64) = sqlx::query_as(AssertSqlSafe(format!(
            "select count(*), coalesce(avg(octet_length(description)), 0)::float8 from products where active {LAB_MARK}"
        )))
        .fetch_one(&mut *connection)
        .await?;
        ensure!(
            products > 0,
            "the catalogue shows no product; generate or import some first"
        );
        let slugs = format!(
            "select slug from products where active order by sales_count desc, id limit {MOST_SLUGS}"
        );
        let mut categories: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(format!(
            "select c.slug, count(*) from categories c join products p on p.category_id = c.id and p.active \
             where not exists (select from categories below where below.parent_id = c.id) \
             group by c.slug order by count(*) desc, c.slug limit 300 {LAB_MARK}"
        )))
        .fetch_all(&mut *connection)
        .await?;
        if categories.first().is_some_and(|(_, largest)| *largest >= page) {
            categories.retain(|(_, of_category)| *of_category >= page);
        }
        Ok(Self {
            products: products.unsigned_abs(),
            slugs: texts(connection, &slugs).await?,
            fewest_in_a_category: categories.last().map_or(0, |(_, fewest)| fewest.unsigned_abs()),
            categories: categories.into_iter().map(|(slug, _)| slug).collect(),
            brands: texts(
                connection,
                "select b.slug from brands b join products p on p.brand_id = b.id and p.active \
                 group by b.slug order by count(*) desc, b.slug limit 300",
            )
            .await?,
            words: words.rare,
            common_word: words.common,
            description_bytes,
            customers: texts(
                connection,
                &format!("select email from customers where role = 'customer' order by md5(email) limit {CUSTOMERS}"),
            )
            .await?,
            frequent_buyers: buyers(connection, "between 25 and 150").await?,
            once_buyers: buyers(connection, "= 1").await?,
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
            fewest_in_a_category: 100,
            words: vec!["bramholm".into(), "clutdahl".into()],
            common_word: Some("cardboard".into()),
            description_bytes: 1_000.0,
            customers: names("customer", CUSTOMERS),
            frequent_buyers: names("frequent", SIGNED_IN),
            once_buyers: names("once", SIGNED_IN),
            seed: 1,
        }
    }
}

/// Emails of customers who have so many orders.
async fn buyers(connection: &mut PgConnection, orders: &str) -> Result<Vec<String>> {
    let sql = format!(
        "select c.email from customers c join orders o on o.customer_id = c.id where c.role = 'customer' \
         group by c.email having count(*) {orders} order by md5(c.email) limit {SIGNED_IN}"
    );
    texts(connection, &sql).await
}

pub(super) async fn texts(connection: &mut PgConnection, sql: &str) -> Result<Vec<String>> {
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
