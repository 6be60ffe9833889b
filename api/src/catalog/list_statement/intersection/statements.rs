//! The SQL of a page.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::{IntersectionPage, MAX_UNEXPECTED, wanted};
use crate::catalog::list_statement::ranges::Range;
use crate::catalog::list_statement::visible::{push_keys, push_limit, push_page_begin, push_page_end};
use crate::catalog::list_statement::{Bounds, ListQuery, push_after, push_order, push_prices};
use crate::catalog::search::full_text::TITLE_MATCH;
use crate::catalog::search::indexed_search::{Part, push_title};
use crate::catalog::sort::Sort;
use crate::database::InstrumentedConnection;

impl<'a> IntersectionPage<'a> {
    /// All matches, unless there are more than [`MAX_UNEXPECTED`]: then a single row has their number. Rows that a filter
    /// discards count as well.
    pub(super) fn all_matches(&self) -> QueryBuilder<Postgres> {
        let list = &self.list;
        let mut sql = QueryBuilder::new(
            "with visited as materialized (select s.product_id, s.price_cents, s.in_stock, ",
        );
        self.search.push_filter(&mut sql);
        sql.push(" as matches, ");
        self.push_key(&mut sql);
        sql.push(" as sort_key from search_rows s where s.active");
        self.search.push_indexed(&mut sql);
        sql.push(" limit ").push(MAX_UNEXPECTED + 1);
        sql.push("), total as (select count(*) as matches from visited) ");
        sql.push("select page.sort_key, item.*, total.matches from total left join (");
        sql.push("select s.sort_key, s.product_id as id from visited s where s.matches and (select matches from total) <= ")
            .push(MAX_UNEXPECTED);
        self.push_filters(&mut sql);
        push_after(&mut sql, list.sort, list.bounds, "s.sort_key", "s.product_id");
        push_order(&mut sql, list.sort, "s.sort_key", "s.product_id");
        push_cut(&mut sql, list);
        sql.push(") page on true left join lateral (select ")
            .push(list.columns)
            .push(" from products p where p.id = page.id limit 1) item on true");
        push_order(&mut sql, list.sort, "page.sort_key", "page.id");
        sql
    }

    /// The first matches in a range. A bounded one is abandoned after [`MAX_UNEXPECTED`] matches; the last column has how
    /// many there were.
    pub(super) async fn read_range(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        list: &ListQuery<'_>,
        range: Range,
        is_bounded: bool,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut sql = QueryBuilder::new("");
        sql.push(
            "select page.sort_key, item.*, page.matches from (select k.sort_key, k.id, k.matches from (",
        );
        sql.push("select m.sort_key, m.id, ")
            .push(if is_bounded {
                "count(*) over ()"
            } else {
                "0::bigint"
            })
            .push(" as matches from (select f.sort_key, f.id from (select ");
        self.push_key(&mut sql);
        sql.push(" as sort_key, s.product_id as id from search_rows s where s.active");
        self.search.push(&mut sql);
        self.push_filters(&mut sql);
        self.push_bands(&mut sql);
        let ordered = self.ordered(*list);
        range.push(&mut sql, ordered.sort, ordered.bounds);
        // The fence keeps the cursor's condition from the index: see `Range::push`.
        sql.push(" offset 0) f where true");
        push_after(&mut sql, list.sort, list.bounds, "f.sort_key", "f.id");
        if is_bounded {
            sql.push(" limit ").push(MAX_UNEXPECTED + 1);
        }
        sql.push(") m) k");
        push_order(&mut sql, list.sort, "k.sort_key", "k.id");
        push_cut(&mut sql, list);
        push_page_end(&mut sql, list);
        sql.build().persistent(false).fetch_all(connection).await
    }

    /// The list without its words in its order, each product looked up, until the page is full.
    pub(super) async fn walk(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        limit: u64,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let list = &self.list;
        let ordered = self.ordered(*list);
        let mut sql = QueryBuilder::new("");
        push_page_begin(&mut sql);
        sql.push("select w.sort_key");
        if self.added() > 0 {
            sql.push(" + ").push(self.added()).push(" as sort_key");
        }
        sql.push(", w.id from (");
        push_keys(&mut sql, &ordered, self.ids, "p.id");
        push_limit(&mut sql, limit);
        sql.push(") w cross join lateral (select from search_rows s where s.product_id = w.id");
        self.search.push(&mut sql);
        // With its own limit, the look-up stays one: joined, the planner might match all products first.
        sql.push(" limit 1) s");
        push_order(&mut sql, ordered.sort, "w.sort_key", "w.id");
        push_cut(&mut sql, list);
        push_page_end(&mut sql, list);
        sql.build().persistent(false).fetch_all(connection).await
    }

    /// By relevance, each part of a list is in the order of sales.
    pub(super) fn ordered(&self, mut list: ListQuery<'a>) -> ListQuery<'a> {
        if list.sort == Sort::Relevance {
            list.sort = Sort::BestSelling;
            if let Bounds::After { key, .. } = &mut list.bounds {
                *key -= self.added();
            }
        }
        list
    }

    /// Products with the words in their title rank above all others by as much.
    fn added(&self) -> i64 {
        match self.search.part {
            Part::InTitle => TITLE_MATCH,
            Part::All | Part::NotInTitle => 0,
        }
    }

    /// The conditions that the inverted index doesn't have.
    pub(super) fn push_filters(&self, sql: &mut QueryBuilder<Postgres>) {
        push_prices(sql, self.list.filters, "s");
        if self.list.filters.in_stock == Some(true) {
            sql.push(" and s.in_stock");
        }
    }

    /// The limits of the price, for the index of its bands. The planner takes them for independent of those of the price
    /// itself, so that it expects too few.
    fn push_bands(&self, sql: &mut QueryBuilder<Postgres>) {
        let filters = self.list.filters;
        for (price, comparison) in [(filters.min_price, " >= "), (filters.max_price, " <= ")] {
            if let Some(price) = price {
                sql.push(" and s.price_band").push(comparison).push("price_band(");
                sql.push_bind(price).push(")");
            }
        }
    }

    fn push_key(&self, sql: &mut QueryBuilder<Postgres>) {
        match (self.list.sort.column(), self.search.part) {
            (Some(column), _) => {
                sql.push("s.").push(column);
            }
            (None, Part::All) => {
                sql.push("s.sales_count + case when s.document @@ ");
                push_title(sql, |sql| self.search.push_words(sql));
                sql.push(" then ").push(TITLE_MATCH).push(" else 0 end");
            }
            (None, Part::InTitle | Part::NotInTitle) => {
                sql.push("s.sales_count + ").push(self.added());
            }
        }
    }
}

fn push_cut(sql: &mut QueryBuilder<Postgres>, list: &ListQuery<'_>) {
    push_limit(sql, wanted(list));
}
