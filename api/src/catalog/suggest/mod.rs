//! `GET /v1/search/suggestions`: autocompletion with titles, the best-selling first.
//!
//! Common texts are found among the best-sellers' titles, which the process holds (`titles.rs`). Rare ones are found by
//! their words, among a bounded number of titles. So no text costs more in a large catalogue than in a small one.

pub mod titles;

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use sqlx::{Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use super::cache::Class;
use super::filters::MAX_QUERY_CHARS;
use super::search::full_text::words_query;
use crate::catalog::Catalog;
use crate::web::answer::Answer;
use crate::web::error::{ApiError, Problem};
use crate::web::query::{Query, query_parameters, required_text};
use crate::web::timings::{RequestTimings, Timings};

/// The fewest characters that are completed. With one, most titles match and none is relevant.
const MIN_CHARS: usize = 2;

/// A product whose title has a word that starts with the text.
#[derive(Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Suggestion {
    /// A cached answer depends on it.
    #[serde(skip)]
    id: Uuid,
    pub title: String,
    /// The product's slug.
    pub slug: String,
}

/// At most eight suggestions.
#[derive(Debug, Serialize, ToSchema)]
pub struct Suggestions {
    /// The best-selling first.
    pub items: Vec<Suggestion>,
    /// Always null: there is only one page.
    pub next: Option<String>,
}

query_parameters! {
    /// The parameters of the suggestions.
    pub struct SuggestQuery {
        /// The text typed so far
        q: String = required_text(MIN_CHARS, MAX_QUERY_CHARS),
    }
}

/// Suggests titles for a text.
#[utoipa::path(
    get,
    path = "/v1/search/suggestions",
    tag = "Catalog",
    security(()),
    params(SuggestQuery),
    responses(
        (status = 200, body = Suggestions),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn suggest(
    State(catalog): State<Arc<Catalog>>,
    timings: RequestTimings,
    Query(SuggestQuery { q }): Query<SuggestQuery>,
) -> Result<Answer, ApiError> {
    let text = q.to_lowercase();
    let mut key = "/v1/search/suggestions?q=".to_owned();
    key.extend(form_urlencoded::byte_serialize(text.as_bytes()));
    catalog
        .cache
        .answer(Class::Suggestions, &key, &timings, || {
            suggestions(&catalog, &timings, &text)
        })
        .await
}

/// Suggestions in a response.
const MAX_SUGGESTIONS: usize = 8;

/// Titles with the text's words that are compared if the best-sellers don't fill a response. If more titles have these
/// words but hardly any best-seller does, the response has the best-selling of the compared ones.
const MAX_COMPARED: u64 = 1_500;

async fn suggestions(catalog: &Catalog, timings: &Timings, text: &str) -> Result<Answer, ApiError> {
    let is_stale = catalog.replicas.titles.is_stale();
    let found = catalog.replicas.titles.get().await?.find(text, MAX_SUGGESTIONS);
    // A text without a letter or digit has no words for the index.
    let is_rare = found.may_be_more && text.contains(char::is_alphanumeric);
    let items = match (is_rare, found.ids.is_empty()) {
        (true, _) => read_rare(catalog, timings, text).await?,
        (false, false) => read_products(catalog, timings, &found.ids).await?,
        (false, true) => Vec::new(),
    };
    let shown = items.iter().map(|item| item.id).collect();
    let body = serde_json::to_vec(&Suggestions { items, next: None }).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body).showing(shown).provisional(is_stale))
}

/// The current data of these products.
async fn read_products(
    catalog: &Catalog,
    timings: &Timings,
    ids: &[Uuid],
) -> Result<Vec<Suggestion>, ApiError> {
    let mut connection = catalog.database.acquire(timings).await?;
    let rows = sqlx::query_as::<_, Suggestion>(
        "select id, title, slug
         from products
         where id = any($1) and active
         order by array_position($1, id)",
    );
    Ok(rows.bind(ids).fetch_all(&mut connection).await?)
}

/// The best-selling among a bounded number of matching titles.
async fn read_rare(catalog: &Catalog, timings: &Timings, text: &str) -> Result<Vec<Suggestion>, ApiError> {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    let mut sql = QueryBuilder::<Postgres>::new(
        // The limit applies before titles are compared, so that it bounds the work of every text.
        "select p.id, found.title, p.slug
         from (
             select product_id, title, sales_count from (
                 select product_id, title, sales_count from search_rows
                 where active and document @@ title_query(",
    );
    words_query(text).push(&mut sql);
    sql.push(") limit ")
        .push(MAX_COMPARED)
        .push(") compared where title ilike ")
        .push_bind(format!("{escaped}%"))
        .push(" or title ilike ")
        .push_bind(format!("% {escaped}%"))
        .push(" order by sales_count desc, product_id desc limit ")
        .push(MAX_SUGGESTIONS as u64)
        .push(
            ") found join products p on p.id = found.product_id order by found.sales_count desc, p.id desc",
        );
    let mut connection = catalog.database.acquire(timings).await?;
    // Planned each time, because the selectivity depends on the text.
    let rows = sql
        .build_query_as()
        .persistent(false)
        .fetch_all(&mut connection)
        .await?;
    Ok(rows)
}
