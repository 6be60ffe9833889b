//! The statement that reads a page: fragments that are constant, put together for the filters that are there. One with
//! `$1 is null or …` for each filter would get one generic plan for all, which reads the whole table.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::{Bounds, ListRequest};
use crate::catalog::filters::push_subtree;
use crate::catalog::search::Matching;
use crate::database::Session;
use crate::state::App;

/// A page's statement, but for the bounds that an arm adds.
pub(super) struct Statement<'a> {
    list: &'a ListRequest,
    columns: &'static str,
    matching: Option<Matching>,
}

impl<'a> Statement<'a> {
    pub(super) fn of(app: &App, list: &'a ListRequest, matching: u8) -> Self {
        let search = app.catalog.search;
        let matching = list.filters.q.as_deref().and_then(|text| match matching {
            0 => Some(search.matching(text)),
            _ => search.second_matching(text),
        });
        Self {
            list,
            columns: app.catalog.list_columns.sql(),
            matching,
        }
    }

    /// Whether there is anything to match the search text with.
    pub(super) fn has_matching(&self) -> bool {
        self.matching.is_some()
    }

    /// Reads one row more than the page holds, which tells whether the list goes on.
    pub(super) async fn read(
        &self,
        session: &mut Session<'_>,
        bounds: &Bounds,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut sql = self.compose(bounds);
        sql.build().fetch_all(session).await
    }

    /// Products first, cut to the page, then what they belong to: a join before the cut would be made for every row
    /// that is skipped.
    fn compose(&self, bounds: &Bounds) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("");
        if let Some(category) = &self.list.filters.category {
            push_subtree(&mut sql, category);
        }
        sql.push("select page.*, b.slug as brand_slug, b.name as brand_name, c.slug as category_slug, c.name as category_name from (");
        if self.list.filters.category.is_some() {
            // A page of each category below, and of these the first: each is read in its index's order, where one
            // condition over all of them would read and sort all their products.
            sql.push("select products.* from subtree cross join lateral (");
            self.push_products(&mut sql, bounds);
            self.push_order(&mut sql, "");
            self.push_cut(&mut sql, bounds, Cut::Reachable);
            sql.push(") products");
            self.push_order(&mut sql, "products.");
        } else {
            self.push_products(&mut sql, bounds);
            self.push_order(&mut sql, "");
        }
        self.push_cut(&mut sql, bounds, Cut::Page);
        // With plain joins the planner hashes all brands and categories for the few rows of a page; a lateral look-up
        // with a limit stays what it is: an index scan a row.
        sql.push(
            ") page cross join lateral (select slug, name from brands where id = page.brand_id limit 1) b",
        )
        .push(
            " cross join lateral (select slug, name from categories where id = page.category_id limit 1) c",
        );
        self.push_order(&mut sql, "page.");
        sql
    }

    fn push_products(&self, sql: &mut QueryBuilder<Postgres>, bounds: &Bounds) {
        sql.push("select ");
        self.push_key(sql);
        sql.push(" as sort_key, ")
            .push(self.columns)
            .push(" from products p");
        if let Some(matching) = &self.matching {
            matching.push_join(sql);
        }
        self.list.filters.push_conditions(sql, self.matching.as_ref());
        if self.list.filters.category.is_some() {
            sql.push(" and p.category_id = subtree.id");
        }
        if let Bounds::After { key, id, .. } = bounds {
            sql.push(" and (");
            self.push_key(sql);
            sql.push(", p.id)").push(self.list.sort.beyond()).push("(");
            self.list.sort.push_key(sql, *key);
            sql.push(", ").push_bind(*id).push(")");
        }
    }

    fn push_key(&self, sql: &mut QueryBuilder<Postgres>) {
        match (self.list.sort.column(), &self.matching) {
            (Some(column), _) => {
                sql.push(column);
            }
            (None, Some(matching)) => matching.push_rank(sql),
            // A list without words is never sorted by relevance; a text that nothing can match has one rank.
            (None, None) => {
                sql.push("0::real");
            }
        }
    }

    /// Inside, an order by the key's own expression can use its index; outside, by its name.
    fn push_order(&self, sql: &mut QueryBuilder<Postgres>, of: &str) {
        let direction = self.list.sort.direction();
        match (of, self.list.sort.column()) {
            ("", Some(column)) => sql
                .push(" order by ")
                .push(column)
                .push(direction)
                .push(", p.id")
                .push(direction),
            ("", None) => sql
                .push(" order by sort_key")
                .push(direction)
                .push(", p.id")
                .push(direction),
            _ => sql
                .push(" order by ")
                .push(of)
                .push("sort_key")
                .push(direction)
                .push(", ")
                .push(of)
                .push("id")
                .push(direction),
        };
    }

    /// Limits are written out, not bound: with an unknown limit the planner assumes a tenth of the table.
    fn push_cut(&self, sql: &mut QueryBuilder<Postgres>, bounds: &Bounds, cut: Cut) {
        let rows = u64::from(self.list.limit) + 1;
        let skipped = match bounds {
            #[cfg(feature = "baselines")]
            Bounds::Skip(skipped) => *skipped,
            _ => 0,
        };
        match cut {
            Cut::Reachable => sql.push(" limit ").push(skipped + rows),
            Cut::Page if skipped > 0 => sql.push(" limit ").push(rows).push(" offset ").push(skipped),
            Cut::Page => sql.push(" limit ").push(rows),
        };
    }
}

/// What is cut off a list.
enum Cut {
    /// All that can't be on the page.
    Reachable,
    /// All that is not on the page.
    Page,
}
