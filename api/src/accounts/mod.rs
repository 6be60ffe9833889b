//! Accounts: registration, sign-in and sign-out, and a customer's own data. Sessions, password hashing and the
//! welcome mail are components outside this slice, each with a lesson.

pub mod register;

pub mod refresh_session;
pub mod sign_in;
pub mod sign_out;

pub mod addresses;
pub mod me;

pub mod attempts;
pub mod client_address;
pub mod merge_carts;
pub mod password;

pub mod create_admin;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::database::Database;
use crate::passwords::Passwords;
use crate::sessions::{Grant, Sessions};
use crate::settings::AccountSettings;
use crate::welcome_email::WelcomeEmail;

/// What the accounts' handlers use.
pub struct Accounts {
    pub database: Arc<Database>,
    pub sessions: Arc<Sessions>,
    pub passwords: Arc<Passwords>,
    pub welcome: WelcomeEmail,
    pub settings: AccountSettings,
}

/// A token response, as in RFC 6749.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tokens {
    /// Sent with each request, as `authorization: Bearer …`.
    pub access_token: String,
    /// Single-use: exchanged for the next tokens.
    pub refresh_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Lifetime of the access token, in seconds.
    pub expires_in: u64,
}

impl From<Grant> for Tokens {
    fn from(grant: Grant) -> Self {
        Self {
            access_token: grant.access_token,
            refresh_token: grant.refresh_token,
            token_type: "Bearer",
            expires_in: grant.expires_in.as_secs(),
        }
    }
}
