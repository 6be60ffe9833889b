//! What a catalogue can be asked for: its words by how common they are, its categories, brands and prices.
//!
//! Each is chosen by its rank, so that the same draw stands for the same kind of request in a larger catalogue.

use anyhow::{Result, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::costs::LAB_MARK;

/// Search documents whose words are counted, about.
const SAMPLED: f64 = 10_000.0;

/// The shares of documents between which a word is as costly to look up as the order is to walk.
const CROSSING: std::ops::Range<f64> = 0.01..0.04;

/// How many of a kind are drawn from.
const OF_A_KIND: i64 = 12;

/// What requests are made of.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// In most products.
    pub(super) common: Vec<String>,
    /// In one of a hundred to one of 25: looking up their products costs as much as walking the order.
    pub(super) crossing: Vec<String>,
    /// In some.
    pub(super) middling: Vec<String>,
    /// In few.
    pub(super) rare: Vec<String>,
    /// Slugs, by how deep in the tree.
    pub(super) categories: Vec<Vec<String>>,
    /// Slugs, the largest first.
    pub(super) brands: Vec<String>,
    /// Prices in minor units, by percent of the products that cost at most as much.
    pub(super) prices: Vec<i64>,
}

impl Vocabulary {
    pub(super) async fn read(database_url: &str, seed: u64) -> Result<Vocabulary> {
        let mut connection = PgConnection::connect(database_url).await?;
        let documents: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
            "select count(*) from product_search {LAB_MARK}"
        )))
        .fetch_one(&mut connection)
        .await?;
        ensure!(documents > 0, "the catalogue is empty");
        let percent = (100.0 * SAMPLED / documents as f64).min(100.0);
        let counted: Vec<(String, i32)> = sqlx::query_as(AssertSqlSafe(format!(
            "select word, ndoc from ts_stat('select document from product_search tablesample bernoulli ({percent}) repeatable ({})') \
             where word ~ '^[a-z]{{3,}}$' order by ndoc desc, word {LAB_MARK}",
            seed % 1_000_000
        )))
        .fetch_all(&mut connection)
        .await?;
        let sampled = documents as f64 * percent / 100.0;
        let crossing = near_crossing(&counted, sampled);
        ensure!(!crossing.is_empty(), "no word is in some of the documents");
        let words: Vec<String> = counted.into_iter().map(|(word, _)| word).collect();
        ensure!(
            words.len() >= 3 * OF_A_KIND as usize,
            "the catalogue has too few words"
        );
        let of_a_kind = OF_A_KIND as usize;
        let slice = |from: usize| words[from..from + of_a_kind].to_vec();
        let categories: Vec<(String, i32)> = sqlx::query_as(AssertSqlSafe(format!(
            "with recursive tree as (
                 select id, slug, 0 as depth from categories where parent_id is null
                 union all select c.id, c.slug, tree.depth + 1 from categories c join tree on c.parent_id = tree.id)
             select slug, depth from tree order by depth, slug {LAB_MARK}"
        )))
        .fetch_all(&mut connection)
        .await?;
        let mut by_depth: Vec<Vec<String>> = Vec::new();
        for (slug, depth) in categories {
            by_depth.resize(by_depth.len().max(depth as usize + 1), Vec::new());
            by_depth[depth as usize].push(slug);
        }
        let brands = sqlx::query_scalar(AssertSqlSafe(format!(
            "select b.slug from brands b join products p on p.brand_id = b.id where p.active
             group by b.slug order by count(*) desc, b.slug {LAB_MARK}"
        )))
        .fetch_all(&mut connection)
        .await?;
        let prices = sqlx::query_scalar(AssertSqlSafe(format!(
            "select unnest(percentile_disc(array(select n / 100.0 from generate_series(0, 100) n)::float8[])
                 within group (order by price_cents)) from products where active {LAB_MARK}"
        )))
        .fetch_all(&mut connection)
        .await?;
        connection.close().await?;
        Ok(Vocabulary {
            common: slice(0),
            crossing,
            middling: slice(words.len() / 10),
            rare: slice(words.len() - of_a_kind),
            categories: by_depth,
            brands,
            prices,
        })
    }
}

/// Words of those shares, the most common first, evenly spread over their ranks.
fn near_crossing(counted: &[(String, i32)], sampled: f64) -> Vec<String> {
    let between: Vec<&str> = counted
        .iter()
        .filter(|(_, documents)| CROSSING.contains(&(f64::from(*documents) / sampled)))
        .map(|(word, _)| word.as_str())
        .collect();
    let kept = between.len().min(OF_A_KIND as usize);
    (0..kept)
        .map(|number| between[number * between.len() / kept].to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_near_the_crossing_are_spread_over_their_ranks() {
        let counted: Vec<(String, i32)> = (0..100).map(|n| (format!("w{n}"), 1_000 - 10 * n)).collect();
        let words = near_crossing(&counted, 10_000.0);
        // 390 to 100 of 10,000 documents: thirty words.
        assert_eq!(words.len(), OF_A_KIND as usize);
        assert_eq!((words[0].as_str(), words[11].as_str()), ("w61", "w88"));
        assert_eq!(near_crossing(&counted, 1_000_000.0), Vec::<String>::new());
    }
}
