//! The products that facets with words count: at most so many that a common word costs no more than a rare one.

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::catalog::search::Matching;
use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::state::App;

/// Products that have the words.
pub struct Candidates {
    /// At most the bound.
    pub ids: Vec<Uuid>,
    /// Whether there are more.
    pub are_cut: bool,
}

/// Finds them with one statement. Which of them, when there are more than the bound, is not said: there is no order to
/// sort all of them by.
///
/// # Errors
/// When the statement fails.
pub async fn find(app: &App, timings: &Timings, matching: &Matching) -> Result<Candidates, ApiError> {
    let bound = app.catalog.limits.facet_candidates as usize;
    let mut sql = QueryBuilder::<Postgres>::new("select p.id from products p");
    matching.push_join(&mut sql);
    sql.push(" where p.active and ");
    matching.push_condition(&mut sql);
    // Written out: with an unknown limit the planner assumes a tenth of the table.
    sql.push(" limit ").push(bound as u64 + 1);
    let mut session = app.database.session(timings).await?;
    let mut ids: Vec<Uuid> = sql.build_query_scalar().fetch_all(&mut session).await?;
    drop(session);
    let are_cut = ids.len() > bound;
    ids.truncate(bound);
    Ok(Candidates { ids, are_cut })
}
