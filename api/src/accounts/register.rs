//! `POST /v1/accounts`: registers a customer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use shop::email_address::EmailAddress;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Accounts;
use super::attempts::{self, Attempt};
use super::me::Me;
use super::password::NewPassword;
use crate::accounts::client_address::ClientAddress;
use crate::sessions::Role;
use crate::web::body::{BoundedString, JsonBody};
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::{RequestTimings, Timings};
use crate::web::trace_context::TraceContext;
use crate::welcome_email::NewCustomer;

/// A new customer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Not case-sensitive.
    #[schema(value_type = String, format = Email, max_length = 254, example = "ada@shop.example")]
    pub email: EmailAddress,
    /// Any characters.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 256, example = "correct horse")]
    pub password: NewPassword,
    #[schema(value_type = String, min_length = 1, max_length = 255, example = "Ada")]
    pub name: BoundedString<255>,
}

/// Registers a customer.
#[utoipa::path(
    post,
    path = "/v1/accounts",
    tag = "Accounts",
    security(()),
    request_body = Registration,
    responses(
        (status = 201, body = Me),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "`email_taken`"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn register(
    State(accounts): State<Arc<Accounts>>,
    timings: RequestTimings,
    _: NoParameters,
    client: ClientAddress,
    TraceContext(trace_context): TraceContext,
    JsonBody(registration): JsonBody<Registration>,
) -> Result<impl IntoResponse, ApiError> {
    let Registration {
        email,
        password,
        name,
    } = registration;
    // This route reveals whether an email has an account, so it is rate limited like failed sign-ins.
    let attempt = Attempt::to_register(client);
    let mut connection = accounts.database.acquire(&timings).await?;
    attempts::count_attempt(&mut connection, &attempt, &accounts.settings).await?;
    // Hashing is CPU-bound and slow, so the connection is returned to the pool first.
    drop(connection);
    let new = NewCustomer {
        id: Uuid::now_v7(),
        email: &email,
        name: name.as_str(),
    };
    let inserted = insert(
        &accounts,
        &timings,
        new,
        password,
        trace_context.as_deref(),
        &attempt,
    )
    .await;
    let created_at = match inserted {
        Ok(created_at) => created_at.ok_or_else(email_taken)?,
        Err(error) => return Err(attempts::release_attempt(&accounts, &timings, &attempt, error).await),
    };
    accounts.welcome.after_commit(new).await;
    let me = Me {
        id: new.id,
        email: email.to_string(),
        name: name.into_string(),
        role: Role::Customer.as_str().to_owned(),
        created_at,
    };
    Ok((StatusCode::CREATED, Json(me)))
}

/// The time of registration. `None` when the email is taken.
async fn insert(
    accounts: &Accounts,
    timings: &Timings,
    new: NewCustomer<'_>,
    password: NewPassword,
    trace_context: Option<&str>,
    attempt: &Attempt,
) -> Result<Option<OffsetDateTime>, ApiError> {
    let password_hash = accounts.passwords.hash(password.into_string()).await?;
    let mut connection = accounts.database.acquire(timings).await?;
    let mut transaction = connection.begin().await?;
    let created_at = sqlx::query_scalar!(
        "insert into customers (id, email, name, password_hash) values ($1, $2, $3, $4)
         on conflict (email) do nothing
         returning created_at",
        new.id,
        new.email.as_str(),
        new.name,
        password_hash,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if created_at.is_none() {
        return Ok(None);
    }
    accounts
        .welcome
        .write_event(&mut transaction, new.id, trace_context)
        .await?;
    // The last statement, so that its row lock is short: all registrations from an office's address share one counter.
    attempts::record_success(&mut transaction, attempt).await?;
    transaction.commit().await?;
    Ok(created_at)
}

fn email_taken() -> ApiError {
    ApiError::Conflict {
        code: "email_taken",
        detail: "an account with this email exists; sign in with POST /v1/sessions".to_owned(),
    }
}
