//! The products that facets with words count: at most so many that a common word costs no more than a rare one.

use std::sync::Arc;

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::catalog::filters::ProductFilters;
use crate::catalog::reference::Snapshot;
use crate::catalog::search::Matching;
use crate::database::Session;
use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::state::App;

/// Products that have the words.
#[derive(Debug, Default)]
pub struct Candidates {
    /// At most the bound.
    pub ids: Vec<Uuid>,
    /// Whether there are more.
    pub are_cut: bool,
}

/// Finds them. Which of them, when there are more than the bound, is not said: there is no order to sort all of them by.
///
/// # Errors
/// When a statement fails.
pub async fn find(
    app: &App,
    timings: &Timings,
    filters: &ProductFilters,
    matching: &Matching,
) -> Result<Candidates, ApiError> {
    let bound = app.catalog.limits.facet_candidates as usize;
    let mut session = app.database.session(timings).await?;
    let Some(mut sql) = compose(app, &mut session, filters, matching).await? else {
        return Ok(Candidates::default());
    };
    // Written out, and planned for its words: with an unknown limit the planner assumes a tenth of the table.
    sql.push(" limit ").push(bound as u64 + 1);
    let candidates = sql.build_query_scalar().persistent(false);
    let mut ids: Vec<Uuid> = candidates.fetch_all(&mut session).await?;
    drop(session);
    let are_cut = ids.len() > bound;
    ids.truncate(bound);
    Ok(Candidates { ids, are_cut })
}

/// The statement but for its limit. `None` when nothing can match.
async fn compose(
    app: &App,
    session: &mut Session<'_>,
    filters: &ProductFilters,
    matching: &Matching,
) -> Result<Option<QueryBuilder<Postgres>>, ApiError> {
    let Some(query) = matching.text_query(session).await? else {
        let mut sql = QueryBuilder::new("select p.id from products p");
        matching.push_join(&mut sql);
        sql.push(" where p.active and ");
        matching.push_condition(&mut sql);
        return Ok(Some(sql));
    };
    let (brand, category) = (filters.brand.as_deref(), filters.category.as_deref());
    let reference = app.catalog.reference.with_slugs(session, brand, category).await?;
    let (Some(query), Some(lexemes)) = (query, lexemes(filters, &reference)) else {
        return Ok(None);
    };
    // Also those that are not shown: they are not counted, and a row more to read for each of them would have no bound.
    let mut sql = QueryBuilder::new("select s.product_id from search_rows s where numnode(");
    query.push(&mut sql);
    sql.push(") > 0 and s.document @@ (");
    query.push(&mut sql);
    if !lexemes.is_empty() {
        sql.push(" && ").push_bind(lexemes).push("::text::tsquery");
    }
    sql.push(")");
    Ok(Some(sql))
}

/// Brand, category and what is sold out, as a query of the lexemes that stand for them; empty without. `None` when no product
/// can have them.
fn lexemes(filters: &ProductFilters, reference: &Arc<Snapshot>) -> Option<String> {
    let mut all = Vec::new();
    if let Some(slug) = &filters.brand {
        all.push(format!("'b:{}'", reference.brand_by_slug(slug)?.id));
    }
    if let Some(slug) = &filters.category {
        // A product has the lexemes of all categories above it.
        all.push(format!("'c:{}'", reference.category_by_slug(slug)?.id));
    }
    if filters.in_stock == Some(false) {
        all.push("'o:'".to_owned());
    }
    Some(all.join("&"))
}
