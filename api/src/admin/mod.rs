//! Administration, for admins only. Every change and its audit-log entry are written in one transaction. Caches apply a
//! change when they read the change feed, within a second (`../catalog/changes.rs`).

pub mod set_stock;
pub mod update_product;

pub mod list_audit_log;
pub mod list_orders;

pub mod price;
mod product_rows;

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;

use crate::database::Database;
use crate::settings::Settings;
use crate::web::cursor::CursorKeys;
use crate::web::error::ApiError;

/// The longest slug or SKU, in characters: the bound of their columns.
const MAX_NAME_CHARS: usize = 255;

/// What the admins' handlers use.
pub struct Administration {
    pub database: Arc<Database>,
    /// The keys that sign the cursors of lists.
    pub cursors: CursorKeys,
}

impl Administration {
    /// Derives the keys from the service's secrets, so that every process accepts the cursors of the others.
    pub fn new(database: Arc<Database>, settings: &Settings) -> Self {
        Self {
            database,
            cursors: CursorKeys::new(&settings.jwt_secrets),
        }
    }
}

/// The slug or SKU in a path. An invalid one is a 404, like an unknown one.
fn name_in_path(
    path: Result<Path<String>, PathRejection>,
    unknown: fn() -> ApiError,
) -> Result<String, ApiError> {
    match path {
        // Postgres rejects NUL in text.
        Ok(Path(name)) if name.chars().count() <= MAX_NAME_CHARS && !name.contains('\0') => Ok(name),
        _ => Err(unknown()),
    }
}

/// Maps the error of a write and its audit-log entry.
fn not_recorded(error: sqlx::Error) -> ApiError {
    match &error {
        // The access token is still valid, but its account was deleted.
        sqlx::Error::Database(fault) if fault.constraint() == Some("audit_log_customer_id_fkey") => {
            ApiError::Unauthenticated
        }
        _ => error.into(),
    }
}
