//! Accounts: registration, sign-in and sign-out, and a customer's own data. Sessions, password hashing and the
//! welcome mail are components outside this slice, each with a lesson.

pub mod register;

pub mod refresh_session;
pub mod sign_in;
pub mod sign_out;

pub mod addresses;
pub mod me;

pub mod attempts;
pub mod merge_carts;
pub mod password;

pub mod create_admin;

use serde::Serialize;
use shop::third_parties::mail::Mailer;
use techniques::Selection;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::sessions::Grant;
use crate::settings::AccountSettings;
use crate::state::AppState;
use crate::welcome_email::Welcome;

/// What the accounts' handlers use.
pub struct Accounts {
    pub settings: AccountSettings,
    pub welcome: Welcome,
}

impl Accounts {
    /// Builds each component as its arm.
    pub fn new(selection: &Selection, mailer: &Mailer, settings: AccountSettings) -> Self {
        Self {
            settings,
            welcome: Welcome::new(selection.welcome_email, mailer),
        }
    }
}

/// Accounts, sign-ins and addresses. Only registering, signing in and refreshing need no access token.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(sign_in::sign_in))
        .routes(routes!(refresh_session::refresh_session))
        .routes(routes!(sign_out::sign_out))
        .routes(routes!(me::show_me, me::change_me))
        .routes(routes!(addresses::list_addresses, addresses::add_address))
        .routes(routes!(addresses::change_address, addresses::remove_address))
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
