//! An in-process list of the best-selling products' titles, sorted by sales, which suggestions search first.
//!
//! If it has eight matches for a text, they are the eight that Postgres would find, because products outside the list sell
//! less than all products in it. A text that is common enough to be slow in an index is found here, and a text that isn't
//! found here is rare.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use memchr::memmem::Finder;
use sqlx::postgres::PgConnection;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::catalog::replica::Content;

/// Titles read by one statement.
const READ_BATCH: usize = 1_000;

/// Bounds of the list of titles.
#[derive(Debug, Clone, Copy)]
pub struct TitleLimits {
    /// The most titles in the list.
    pub products: u32,
}

#[derive(Debug, sqlx::FromRow)]
struct TitleRow {
    id: Uuid,
    sales_count: i64,
    title: String,
}

struct Title {
    sales: i64,
    id: Uuid,
    /// In lower case, with a leading space, so that a space precedes every word.
    words: Box<str>,
}

impl Title {
    fn of(row: &TitleRow) -> Self {
        Self {
            sales: row.sales_count,
            id: row.id,
            words: words(&row.title),
        }
    }

    fn rank(&self) -> Reverse<(i64, Uuid)> {
        Reverse((self.sales, self.id))
    }
}

/// Normalizes a title, or a text to search for.
fn words(text: &str) -> Box<str> {
    format!(" {}", text.to_lowercase()).into()
}

/// The products whose titles match a text.
#[derive(Debug, PartialEq, Eq)]
pub struct TitleMatches {
    /// The products, the best-selling first.
    pub ids: Vec<Uuid>,
    /// Products outside the list, which sell less, may match as well.
    pub may_be_more: bool,
}

/// The titles of the best-selling products, searched in the process.
pub struct BestSellers(RwLock<Ranked>);

struct Ranked {
    /// The best-selling first.
    titles: Vec<Title>,
    /// There are active products outside the list.
    is_cut: bool,
    most: usize,
}

impl BestSellers {
    fn of(titles: Vec<Title>, most: usize) -> Self {
        let mut ranked = Ranked {
            titles,
            is_cut: false,
            most,
        };
        ranked.titles.sort_unstable_by_key(Title::rank);
        ranked.cut();
        ranked.titles.shrink_to_fit();
        Self(RwLock::new(ranked))
    }

    /// The best-selling products with a word that starts with the text.
    pub fn find(&self, text: &str, most: usize) -> TitleMatches {
        let text = words(text);
        let finder = Finder::new(text.as_bytes());
        let ranked = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let matching = ranked
            .titles
            .iter()
            .filter(|title| finder.find(title.words.as_bytes()).is_some());
        let ids: Vec<Uuid> = matching.map(|title| title.id).take(most).collect();
        TitleMatches {
            may_be_more: ranked.is_cut && ids.len() < most,
            ids,
        }
    }

    /// The titles of these products that are in the list, with their current sales, and the products without a title in it.
    fn reuse(&self, order: &[(Uuid, i64)]) -> (Vec<Title>, Vec<Uuid>) {
        let sales: HashMap<Uuid, i64> = order.iter().copied().collect();
        let ranked = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let reused = ranked.titles.iter().filter_map(|title| {
            Some(Title {
                sales: *sales.get(&title.id)?,
                id: title.id,
                words: title.words.clone(),
            })
        });
        let titles: Vec<Title> = reused.collect();
        drop(ranked);
        let known: HashSet<Uuid> = titles.iter().map(|title| title.id).collect();
        let missing = order.iter().map(|(id, _)| *id).filter(|id| !known.contains(id));
        (titles, missing.collect())
    }

    /// Replaces these products by their current rows. Products without a row were deleted or became inactive.
    fn replace(&self, products: &[Uuid], rows: &[TitleRow]) {
        let changed: HashSet<&Uuid> = products.iter().collect();
        let mut ranked = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ranked.titles.retain(|title| !changed.contains(&title.id));
        for title in rows.iter().map(Title::of) {
            let at = ranked.titles.partition_point(|other| other.rank() < title.rank());
            // Not past the end of a list that was cut, because products outside it may sell more.
            if at < ranked.titles.len() || !ranked.is_cut {
                ranked.titles.insert(at, title);
            }
        }
        ranked.cut();
    }
}

impl Ranked {
    fn cut(&mut self) {
        if self.titles.len() > self.most {
            self.titles.truncate(self.most);
            self.is_cut = true;
        }
    }
}

/// Reads the rows of these products, without inactive ones.
async fn read(connection: &mut PgConnection, products: &[Uuid]) -> Result<Vec<TitleRow>, sqlx::Error> {
    let mut sql = QueryBuilder::<Postgres>::new(
        "select id, sales_count, title from products where active and id = any(",
    );
    sql.push_bind(products).push(")");
    sql.build_query_as().fetch_all(connection).await
}

impl Content for BestSellers {
    type Limits = TitleLimits;

    const NAME: &'static str = "the best-sellers' titles";
    const BYTES_GAUGE: &'static str = "backstock_catalog_titles_bytes";

    /// The order is read with an index-only scan of the sales, and titles only for products that aren't in `known`.
    async fn load(
        connection: &mut PgConnection,
        limits: TitleLimits,
        known: Option<&Self>,
    ) -> Result<Self, sqlx::Error> {
        let mut sql = QueryBuilder::<Postgres>::new(
            "select id, sales_count from products where active order by sales_count desc, id desc limit ",
        );
        // One more than the list holds, to detect whether there are more.
        sql.push(u64::from(limits.products) + 1);
        let order: Vec<(Uuid, i64)> = sql.build_query_as().fetch_all(&mut *connection).await?;
        let (mut titles, missing) = known.map_or_else(
            || (Vec::new(), order.iter().map(|(id, _)| *id).collect()),
            |known| known.reuse(&order),
        );
        for products in missing.chunks(READ_BATCH) {
            titles.extend(read(connection, products).await?.iter().map(Title::of));
        }
        Ok(Self::of(titles, limits.products as usize))
    }

    async fn refresh(&self, connection: &mut PgConnection, products: &[Uuid]) -> Result<(), sqlx::Error> {
        let rows = read(connection, products).await?;
        self.replace(products, &rows);
        Ok(())
    }

    fn bytes(&self) -> usize {
        let ranked = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let texts: usize = ranked.titles.iter().map(|title| title.words.len()).sum();
        ranked.titles.capacity() * size_of::<Title>() + texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u128, sales: i64, title: &str) -> TitleRow {
        TitleRow {
            id: Uuid::from_u128(number),
            sales_count: sales,
            title: title.to_owned(),
        }
    }

    fn numbers(found: &TitleMatches) -> Vec<u128> {
        found.ids.iter().map(Uuid::as_u128).collect()
    }

    fn ids(numbers: &[u128]) -> Vec<Uuid> {
        numbers.iter().copied().map(Uuid::from_u128).collect()
    }

    fn best_sellers(most: usize) -> BestSellers {
        let rows = [
            row(1, 5, "Navy wool coat"),
            row(2, 9, "Copper kettle"),
            row(3, 5, "Wool blanket"),
            row(4, 1, "Woollen socks"),
        ];
        BestSellers::of(rows.iter().map(Title::of).collect(), most)
    }

    #[test]
    fn any_word_may_start_with_the_text_and_the_best_selling_come_first() {
        let titles = best_sellers(10);
        assert_eq!(numbers(&titles.find("wool", 8)), [3, 1, 4]);
        assert_eq!(numbers(&titles.find("WOOL", 2)), [3, 1]);
        assert_eq!(numbers(&titles.find("navy wo", 8)), [1]);
        assert_eq!(numbers(&titles.find("ool", 8)), [] as [u128; 0]);
        assert!(!titles.find("nothing", 8).may_be_more);
    }

    #[test]
    fn there_may_be_more_only_if_the_list_was_cut() {
        let titles = best_sellers(3);
        assert!(titles.find("wool", 8).may_be_more);
        assert!(!titles.find("wool", 2).may_be_more);
    }

    #[test]
    fn changes_insert_move_and_remove_titles() {
        let titles = best_sellers(10);
        titles.replace(
            &ids(&[3, 4, 5]),
            &[row(3, 5, "Cotton blanket"), row(5, 7, "Woolly hat")],
        );
        assert_eq!(numbers(&titles.find("wool", 8)), [5, 1]);
        assert_eq!(numbers(&titles.find("cotton", 8)), [3]);
    }

    #[test]
    fn a_new_order_reuses_known_titles() {
        let titles = best_sellers(10);
        let order = [
            (Uuid::from_u128(4), 99),
            (Uuid::from_u128(1), 5),
            (Uuid::from_u128(8), 3),
        ];
        let (reused, missing) = titles.reuse(&order);
        assert_eq!(missing, ids(&[8]));
        let titles = BestSellers::of(reused, 10);
        assert_eq!(numbers(&titles.find("wool", 8)), [4, 1]);
    }

    #[test]
    fn a_product_that_sells_less_than_all_others_is_not_inserted_into_a_cut_list() {
        let titles = best_sellers(3);
        titles.replace(&ids(&[6, 7]), &[row(6, 0, "Wool hat"), row(7, 8, "Wool scarf")]);
        assert_eq!(numbers(&titles.find("wool", 8)), [7, 3]);
    }
}
