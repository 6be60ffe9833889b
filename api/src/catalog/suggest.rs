//! `GET /v1/search/suggestions`: titles that go on from what someone has typed so far, the best-selling first.

use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::cache::Class;
use super::filters::MAX_QUERY_CHARS;
use crate::http::answer::Answer;
use crate::http::error::{ApiError, Problem};
use crate::http::query::Parameters;
use crate::http::timings::{RequestTimings, Timings};
use crate::state::{App, AppState};

/// The fewest characters that are completed. With one, most titles match and none is meant.
const MIN_CHARS: usize = 2;

/// A product whose title has a word that begins with the text.
#[derive(Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Suggestion {
    /// The title.
    pub title: String,
    /// The product's slug.
    pub slug: String,
}

/// At most eight suggestions.
#[derive(Debug, Serialize, ToSchema)]
pub struct Suggestions {
    /// The best-selling first.
    pub items: Vec<Suggestion>,
    /// Always null: there is no second page.
    pub next: Option<String>,
}

/// Titles that go on from a text.
#[utoipa::path(
    get,
    path = "/v1/search/suggestions",
    tag = "Catalog",
    security(()),
    params(("q" = String, Query, description = "What was typed so far, 2 to 200 characters")),
    responses(
        (status = 200, body = Suggestions),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn suggest(
    State(app): State<AppState>,
    timings: RequestTimings,
    RawQuery(query): RawQuery,
) -> Result<Answer, ApiError> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let text = parameters.take_text("q", MAX_QUERY_CHARS)?;
    parameters.finish()?;
    let text = match text {
        Some(text) if text.chars().count() >= MIN_CHARS => text.to_lowercase(),
        _ => {
            return Err(ApiError::parameter(
                "q",
                format!("give {MIN_CHARS} to {MAX_QUERY_CHARS} characters"),
            ));
        }
    };
    let mut key = "/v1/search/suggestions?q=".to_owned();
    key.extend(form_urlencoded::byte_serialize(text.as_bytes()));
    app.catalog
        .cache
        .answer(Class::Suggestions, &key, &timings, || {
            suggestions(&app, &timings, &text)
        })
        .await
}

async fn suggestions(app: &App, timings: &Timings, text: &str) -> Result<Answer, ApiError> {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    let mut session = app.database.session(timings).await?;
    // Planned each time: how rare the text is, only the text tells.
    let rows = sqlx::query_as::<_, Suggestion>(
        "select found.title, p.slug
         from (
             select product_id, title, sales_count
             from search_rows
             where active and (title ilike $1 or title ilike $2)
             order by sales_count desc, product_id desc
             limit 8
         ) found
         join products p on p.id = found.product_id
         order by found.sales_count desc, p.id desc",
    )
    .bind(format!("{escaped}%"))
    .bind(format!("% {escaped}%"));
    let items = rows.persistent(false).fetch_all(&mut session).await?;
    drop(session);
    let body = serde_json::to_vec(&Suggestions { items, next: None }).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body))
}
