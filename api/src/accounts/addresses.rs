//! `/v1/me/addresses`: a customer's stored addresses. Their number is bounded, so the list needs no paging.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Accounts;
use crate::database::InstrumentedConnection;
use crate::postal_address::PostalAddress;
use crate::sessions::Customer;
use crate::web::body::{BoundedString, JsonBody};
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;

/// A customer's stored address.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredAddress {
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

/// All addresses of the signed-in customer.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredAddresses {
    /// The oldest first.
    pub items: Vec<StoredAddress>,
    /// Always null: there is only one page.
    #[schema(value_type = Option<String>)]
    pub next: Option<()>,
}

/// The id in a path. An invalid UUID is a 404, like an unknown id.
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

/// Lists the customer's addresses.
#[utoipa::path(
    get,
    path = "/v1/me/addresses",
    tag = "Accounts",
    security(("bearer" = [])),
    responses(
        (status = 200, body = StoredAddresses),
        (status = 401, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list_addresses(
    State(accounts): State<Arc<Accounts>>,
    timings: RequestTimings,
    customer: Customer,
    _: NoParameters,
) -> Result<impl IntoResponse, ApiError> {
    let mut connection = accounts.database.acquire(&timings).await?;
    let items = sqlx::query_as!(
        StoredAddress,
        "select id, name, line1, line2, city, postal_code, region, country
         from addresses where customer_id = $1 order by id limit $2",
        customer.id,
        i64::from(accounts.settings.max_addresses),
    )
    .fetch_all(&mut connection)
    .await?;
    Ok(Json(StoredAddresses { items, next: None }))
}

/// Adds an address.
#[utoipa::path(
    post,
    path = "/v1/me/addresses",
    tag = "Accounts",
    security(("bearer" = [])),
    request_body = PostalAddress,
    responses(
        (status = 201, body = StoredAddress),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "`too_many_addresses`"),
    )
)]
pub async fn add_address(
    State(accounts): State<Arc<Accounts>>,
    timings: RequestTimings,
    customer: Customer,
    _: NoParameters,
    JsonBody(address): JsonBody<PostalAddress>,
) -> Result<impl IntoResponse, ApiError> {
    let max = i64::from(accounts.settings.max_addresses);
    let mut connection = accounts.database.acquire(&timings).await?;
    let mut transaction = connection.begin().await?;
    // The row lock serializes concurrent requests of a customer, so that they can't exceed the limit together.
    let owner = sqlx::query_scalar!(
        "select id from customers where id = $1 for no key update",
        customer.id
    );
    let owner = owner.fetch_optional(&mut *transaction).await?;
    owner.ok_or(ApiError::Unauthenticated)?;
    let added = insert(&mut transaction, customer.id, &address, max).await?;
    let added = added.ok_or_else(|| ApiError::Conflict {
        code: "too_many_addresses",
        detail: format!("you have {max} addresses, the maximum; remove one first"),
    })?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(added)))
}

async fn insert(
    connection: &mut InstrumentedConnection<'_>,
    customer: Uuid,
    address: &PostalAddress,
    max: i64,
) -> Result<Option<StoredAddress>, sqlx::Error> {
    sqlx::query_as!(
        StoredAddress,
        "insert into addresses (id, customer_id, name, line1, line2, city, postal_code, region, country)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9
         where (select count(*) from addresses where customer_id = $2) < $10
         returning id, name, line1, line2, city, postal_code, region, country",
        Uuid::now_v7(),
        customer,
        address.name.as_str(),
        address.line1.as_str(),
        address.line2.as_ref().map(BoundedString::as_str),
        address.city.as_str(),
        address.postal_code.as_str(),
        address.region.as_ref().map(BoundedString::as_str),
        address.country.as_str(),
        max,
    )
    .fetch_optional(connection)
    .await
}

/// Replaces an address.
#[utoipa::path(
    put,
    path = "/v1/me/addresses/{id}",
    tag = "Accounts",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The address's id")),
    request_body = PostalAddress,
    responses(
        (status = 200, body = StoredAddress),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change_address(
    State(accounts): State<Arc<Accounts>>,
    timings: RequestTimings,
    customer: Customer,
    AddressId(id): AddressId,
    _: NoParameters,
    JsonBody(address): JsonBody<PostalAddress>,
) -> Result<impl IntoResponse, ApiError> {
    let mut connection = accounts.database.acquire(&timings).await?;
    let changed = sqlx::query_as!(
        StoredAddress,
        "update addresses
         set name = $3, line1 = $4, line2 = $5, city = $6, postal_code = $7, region = $8, country = $9
         where id = $1 and customer_id = $2
         returning id, name, line1, line2, city, postal_code, region, country",
        id,
        customer.id,
        address.name.as_str(),
        address.line1.as_str(),
        address.line2.as_ref().map(BoundedString::as_str),
        address.city.as_str(),
        address.postal_code.as_str(),
        address.region.as_ref().map(BoundedString::as_str),
        address.country.as_str(),
    )
    .fetch_optional(&mut connection)
    .await?;
    Ok(Json(changed.ok_or_else(unknown_address)?))
}

/// Removes an address.
#[utoipa::path(
    delete,
    path = "/v1/me/addresses/{id}",
    tag = "Accounts",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The address's id")),
    responses(
        (status = 204),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove_address(
    State(accounts): State<Arc<Accounts>>,
    timings: RequestTimings,
    customer: Customer,
    AddressId(id): AddressId,
    _: NoParameters,
) -> Result<StatusCode, ApiError> {
    let mut connection = accounts.database.acquire(&timings).await?;
    let removed = sqlx::query!(
        "delete from addresses where id = $1 and customer_id = $2",
        id,
        customer.id
    )
    .execute(&mut connection)
    .await?;
    match removed.rows_affected() {
        0 => Err(unknown_address()),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}
