//! `/v1/me/addresses`: the addresses that a customer keeps. Their number is bounded, so that the list is one page.

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::database::Session;
use crate::http::body::{JsonBody, Text};
use crate::http::error::{ApiError, Problem};
use crate::http::identity::Customer;
use crate::http::query::NoParameters;
use crate::http::timings::RequestTimings;
use crate::postal_address::PostalAddress;
use crate::state::AppState;

/// An address that a customer keeps.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct KeptAddress {
    pub id: Uuid,
    pub name: String,
    pub line1: String,
    pub line2: Option<String>,
    pub city: String,
    pub postal_code: String,
    pub region: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

/// All of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeptAddresses {
    /// The oldest first.
    pub items: Vec<KeptAddress>,
    /// Always null: there is one page.
    #[schema(value_type = Option<String>)]
    pub next: Option<()>,
}

/// The id in a path. What can't be one is not found, like any id that no address of the customer's has.
#[derive(Debug)]
pub struct AddressId(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for AddressId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(id) = Path::<Uuid>::from_request_parts(parts, state)
            .await
            .map_err(|_| unknown_address())?;
        Ok(Self(id))
    }
}

fn unknown_address() -> ApiError {
    ApiError::NotFound("you have no address with this id; /v1/me/addresses lists yours".to_owned())
}

/// The customer's addresses.
#[utoipa::path(
    get,
    path = "/v1/me/addresses",
    tag = "Accounts",
    security(("bearer" = [])),
    responses(
        (status = 200, body = KeptAddresses),
        (status = 401, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list_addresses(
    State(app): State<AppState>,
    timings: RequestTimings,
    customer: Customer,
    _: NoParameters,
) -> Result<impl IntoResponse, ApiError> {
    let mut session = app.database.session(&timings).await?;
    let items = sqlx::query_as!(
        KeptAddress,
        "select id, name, line1, line2, city, postal_code, region, country
         from addresses where customer_id = $1 order by id limit $2",
        customer.id,
        i64::from(app.accounts.settings.max_addresses),
    )
    .fetch_all(&mut session)
    .await?;
    Ok(Json(KeptAddresses { items, next: None }))
}

/// Keeps another address.
#[utoipa::path(
    post,
    path = "/v1/me/addresses",
    tag = "Accounts",
    security(("bearer" = [])),
    request_body = PostalAddress,
    responses(
        (status = 201, body = KeptAddress),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "`too_many_addresses`"),
    )
)]
pub async fn add_address(
    State(app): State<AppState>,
    timings: RequestTimings,
    customer: Customer,
    _: NoParameters,
    JsonBody(address): JsonBody<PostalAddress>,
) -> Result<impl IntoResponse, ApiError> {
    let max = i64::from(app.accounts.settings.max_addresses);
    let mut session = app.database.session(&timings).await?;
    let mut transaction = session.begin().await?;
    // Two that come at once are counted one after the other.
    let owner = sqlx::query_scalar!(
        "select id from customers where id = $1 for no key update",
        customer.id
    );
    let owner = owner.fetch_optional(&mut *transaction).await?;
    owner.ok_or(ApiError::Unauthenticated)?;
    let added = insert(&mut transaction, customer.id, &address, max).await?;
    let added = added.ok_or_else(|| ApiError::Conflict {
        code: "too_many_addresses",
        detail: format!("you keep {max} addresses, which is the most; remove one first"),
    })?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(added)))
}

async fn insert(
    session: &mut Session<'_>,
    customer: Uuid,
    address: &PostalAddress,
    max: i64,
) -> Result<Option<KeptAddress>, sqlx::Error> {
    sqlx::query_as!(
        KeptAddress,
        "insert into addresses (id, customer_id, name, line1, line2, city, postal_code, region, country)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9
         where (select count(*) from addresses where customer_id = $2) < $10
         returning id, name, line1, line2, city, postal_code, region, country",
        Uuid::now_v7(),
        customer,
        address.name.as_str(),
        address.line1.as_str(),
        address.line2.as_ref().map(Text::as_str),
        address.city.as_str(),
        address.postal_code.as_str(),
        address.region.as_ref().map(Text::as_str),
        address.country.as_str(),
        max,
    )
    .fetch_optional(session)
    .await
}

/// Puts an address in the place of one that is kept.
#[utoipa::path(
    put,
    path = "/v1/me/addresses/{id}",
    tag = "Accounts",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The address' id")),
    request_body = PostalAddress,
    responses(
        (status = 200, body = KeptAddress),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change_address(
    State(app): State<AppState>,
    timings: RequestTimings,
    customer: Customer,
    AddressId(id): AddressId,
    _: NoParameters,
    JsonBody(address): JsonBody<PostalAddress>,
) -> Result<impl IntoResponse, ApiError> {
    let mut session = app.database.session(&timings).await?;
    let changed = sqlx::query_as!(
        KeptAddress,
        "update addresses
         set name = $3, line1 = $4, line2 = $5, city = $6, postal_code = $7, region = $8, country = $9
         where id = $1 and customer_id = $2
         returning id, name, line1, line2, city, postal_code, region, country",
        id,
        customer.id,
        address.name.as_str(),
        address.line1.as_str(),
        address.line2.as_ref().map(Text::as_str),
        address.city.as_str(),
        address.postal_code.as_str(),
        address.region.as_ref().map(Text::as_str),
        address.country.as_str(),
    )
    .fetch_optional(&mut session)
    .await?;
    Ok(Json(changed.ok_or_else(unknown_address)?))
}

/// Keeps an address no longer.
#[utoipa::path(
    delete,
    path = "/v1/me/addresses/{id}",
    tag = "Accounts",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The address' id")),
    responses(
        (status = 204),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove_address(
    State(app): State<AppState>,
    timings: RequestTimings,
    customer: Customer,
    AddressId(id): AddressId,
    _: NoParameters,
) -> Result<StatusCode, ApiError> {
    let mut session = app.database.session(&timings).await?;
    let removed = sqlx::query!(
        "delete from addresses where id = $1 and customer_id = $2",
        id,
        customer.id
    )
    .execute(&mut session)
    .await?;
    match removed.rows_affected() {
        0 => Err(unknown_address()),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}
