//! The titles of the best-selling products, in the process, in the order of their sales: where suggestions look first.
//!
//! Eight of them that go on from a text are the eight that Postgres would find, because a product that is not held sells
//! less than each that is. A text that is common enough to be slow to look up in an index is found here, and one that
//! isn't found here is rare.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use memchr::memmem::Finder;
use sqlx::postgres::PgConnection;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::catalog::replica::Content;

/// Products whose titles one statement reads.
const READ_AT_ONCE: usize = 1_000;

/// How many titles are held.
#[derive(Debug, Clone, Copy)]
pub struct TitleLimits {
    /// Products.
    pub products: u32,
}

#[derive(Debug, sqlx::FromRow)]
struct TitleRow {
    id: Uuid,
    sales_count: i64,
    title: String,
}

/// A product.
struct Title {
    sales: i64,
    id: Uuid,
    /// In lower case, after a space: so that each of its words, the first as well, begins after one.
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

/// The form in which a title is searched, and a text searched for.
fn words(text: &str) -> Box<str> {
    format!(" {}", text.to_lowercase()).into()
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The products, the best-selling first.
    pub ids: Vec<Uuid>,
    /// Whether there may be others that were not looked at, because they sell less than all that are held.
    pub may_be_more: bool,
}

/// The titles that are held.
pub struct BestSellers(RwLock<Ranked>);

struct Ranked {
    /// The best-selling first.
    titles: Vec<Title>,
    /// Whether products are shown that are not held.
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

    /// The best-selling products with a word that begins with the text.
    pub fn find(&self, text: &str, most: usize) -> Found {
        let text = words(text);
        let finder = Finder::new(text.as_bytes());
        let ranked = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let matching = ranked
            .titles
            .iter()
            .filter(|title| finder.find(title.words.as_bytes()).is_some());
        let ids: Vec<Uuid> = matching.map(|title| title.id).take(most).collect();
        Found {
            may_be_more: ranked.is_cut && ids.len() < most,
            ids,
        }
    }

    /// The titles that are held of these products, with their sales of now, and the products of which none is.
    fn take_over(&self, order: &[(Uuid, i64)]) -> (Vec<Title>, Vec<Uuid>) {
        let sales: HashMap<Uuid, i64> = order.iter().copied().collect();
        let ranked = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let taken_over = ranked.titles.iter().filter_map(|title| {
            Some(Title {
                sales: *sales.get(&title.id)?,
                id: title.id,
                words: title.words.clone(),
            })
        });
        let titles: Vec<Title> = taken_over.collect();
        drop(ranked);
        let held: HashSet<Uuid> = titles.iter().map(|title| title.id).collect();
        let missing = order.iter().map(|(id, _)| *id).filter(|id| !held.contains(id));
        (titles, missing.collect())
    }

    /// Puts in what these products are now; those that are not among the rows are gone, or no longer shown.
    fn replace(&self, products: &[Uuid], rows: &[TitleRow]) {
        let changed: HashSet<&Uuid> = products.iter().collect();
        let mut ranked = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ranked.titles.retain(|title| !changed.contains(&title.id));
        for title in rows.iter().map(Title::of) {
            let at = ranked.titles.partition_point(|other| other.rank() < title.rank());
            // After the last one that is held, others may sell more that are not held.
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

/// What is held of those of these products that are shown.
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

    /// The order is read from the index of sales alone, and titles only of products that are not held yet.
    async fn load(
        connection: &mut PgConnection,
        limits: TitleLimits,
        known: Option<&Self>,
    ) -> Result<Self, sqlx::Error> {
        let mut sql = QueryBuilder::<Postgres>::new(
            "select id, sales_count from products where active order by sales_count desc, id desc limit ",
        );
        // One more than is held tells whether there are more.
        sql.push(u64::from(limits.products) + 1);
        let order: Vec<(Uuid, i64)> = sql.build_query_as().fetch_all(&mut *connection).await?;
        let (mut titles, missing) = known.map_or_else(
            || (Vec::new(), order.iter().map(|(id, _)| *id).collect()),
            |known| known.take_over(&order),
        );
        for products in missing.chunks(READ_AT_ONCE) {
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

    fn numbers(found: &Found) -> Vec<u128> {
        found.ids.iter().map(Uuid::as_u128).collect()
    }

    fn ids(numbers: &[u128]) -> Vec<Uuid> {
        numbers.iter().copied().map(Uuid::from_u128).collect()
    }

    fn held(most: usize) -> BestSellers {
        let rows = [
            row(1, 5, "Navy wool coat"),
            row(2, 9, "Copper kettle"),
            row(3, 5, "Wool blanket"),
            row(4, 1, "Woollen socks"),
        ];
        BestSellers::of(rows.iter().map(Title::of).collect(), most)
    }

    #[test]
    fn any_word_may_begin_with_the_text_and_the_best_selling_come_first() {
        let titles = held(10);
        assert_eq!(numbers(&titles.find("wool", 8)), [3, 1, 4]);
        assert_eq!(numbers(&titles.find("WOOL", 2)), [3, 1]);
        assert_eq!(numbers(&titles.find("navy wo", 8)), [1]);
        assert_eq!(numbers(&titles.find("ool", 8)), [] as [u128; 0]);
        assert!(!titles.find("nothing", 8).may_be_more);
    }

    #[test]
    fn there_may_be_more_only_where_products_are_left_out() {
        let titles = held(3);
        assert!(titles.find("wool", 8).may_be_more);
        assert!(!titles.find("wool", 2).may_be_more);
    }

    #[test]
    fn a_change_moves_a_title_and_takes_it_away() {
        let titles = held(10);
        titles.replace(
            &ids(&[3, 4, 5]),
            &[row(3, 5, "Cotton blanket"), row(5, 7, "Woolly hat")],
        );
        assert_eq!(numbers(&titles.find("wool", 8)), [5, 1]);
        assert_eq!(numbers(&titles.find("cotton", 8)), [3]);
    }

    #[test]
    fn a_new_order_takes_over_the_titles_that_are_held() {
        let titles = held(10);
        let order = [
            (Uuid::from_u128(4), 99),
            (Uuid::from_u128(1), 5),
            (Uuid::from_u128(8), 3),
        ];
        let (taken_over, missing) = titles.take_over(&order);
        assert_eq!(missing, ids(&[8]));
        let titles = BestSellers::of(taken_over, 10);
        assert_eq!(numbers(&titles.find("wool", 8)), [4, 1]);
    }

    #[test]
    fn what_sells_less_than_all_that_are_held_is_not_held_where_some_are_left_out() {
        let titles = held(3);
        titles.replace(&ids(&[6, 7]), &[row(6, 0, "Wool hat"), row(7, 8, "Wool scarf")]);
        assert_eq!(numbers(&titles.find("wool", 8)), [7, 3]);
    }
}
