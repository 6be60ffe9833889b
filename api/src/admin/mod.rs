//! Administration: what only admins may do. Every change is one transaction: what changes, and a row of the audit log with
//! the fields that changed. Caches learn of it from the change feed, within a second (`../catalog/changes.rs`).

pub mod set_stock;
pub mod update_product;

pub mod list_audit_log;
pub mod list_orders;

pub mod price;
mod product_rows;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::cursor::CursorKeys;
use crate::http::error::ApiError;
use crate::settings::Settings;
use crate::state::AppState;

/// The longest slug and the longest SKU, in characters: those of their columns.
const MAX_NAME_CHARS: usize = 255;

/// What the admins' handlers need.
pub struct Administration {
    /// Signs where a page ended.
    pub cursors: CursorKeys,
}

impl Administration {
    /// Builds it from the service's secrets.
    pub fn new(settings: &Settings) -> Self {
        Self {
            cursors: CursorKeys::new(&settings.jwt_secrets),
        }
    }
}

/// The admins' routes.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(update_product::update_product))
        .routes(routes!(set_stock::set_stock))
        .routes(routes!(list_orders::list_orders))
        .routes(routes!(list_audit_log::list_audit_log))
}

/// The name in a path. What can't be one is not found, like any name that nothing has.
fn name_in_path(
    path: Result<Path<String>, PathRejection>,
    unknown: fn() -> ApiError,
) -> Result<String, ApiError> {
    match path {
        // Postgres would refuse a zero byte.
        Ok(Path(name)) if name.chars().count() <= MAX_NAME_CHARS && !name.contains('\0') => Ok(name),
        _ => Err(unknown()),
    }
}

/// Why a change could not be written.
fn not_recorded(error: sqlx::Error) -> ApiError {
    match &error {
        // Signed in as somebody whose account is gone.
        sqlx::Error::Database(fault) if fault.constraint() == Some("audit_log_customer_id_fkey") => {
            ApiError::Unauthenticated
        }
        _ => error.into(),
    }
}
