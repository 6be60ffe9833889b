//! `GET /v1/__kebab__`: the signed-in customer's __words__.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::__Name__;
use crate::sessions::Customer;
use crate::web::answer::Answer;
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::{RequestTimings, Timings};

/// A page of a customer's __words__.
#[derive(Debug, Serialize, ToSchema)]
pub struct __Name__Page {
    pub items: Vec<__Name__Item>,
    /// The next page's address, to be followed unchanged; null on the last page.
    pub next: Option<String>,
}

/// An item of the list.
#[derive(Debug, Serialize, ToSchema)]
pub struct __Name__Item {
    pub id: Uuid,
}

/// Lists your __words__.
#[utoipa::path(
    get,
    path = "/v1/__kebab__",
    tag = "__Words__",
    security(("bearer" = [])),
    responses(
        (status = 200, body = __Name__Page),
        (status = 401, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list___name__(
    State(slice): State<Arc<__Name__>>,
    timings: RequestTimings,
    customer: Customer,
    _: NoParameters,
) -> Result<Answer, ApiError> {
    let page = __Name__Page {
        items: read_items(&slice, &timings, customer.id).await?,
        next: None,
    };
    let body = serde_json::to_vec(&page).map_err(ApiError::internal)?;
    Ok(Answer::new(page.next.as_deref(), &body))
}

/// None yet. The statement goes here, with a limit and a total order, over a connection of
/// `slice.database.acquire(timings)`.
async fn read_items(
    _slice: &__Name__,
    _timings: &Timings,
    _customer: Uuid,
) -> Result<Vec<__Name__Item>, ApiError> {
    Ok(Vec::new())
}
