//! Accounts: who buys. Registering, signing in and out, and what a customer keeps. What a sign-in is, and where
//! passwords are hashed and the welcome is sent, are components beside this slice, with a lesson each.

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
use storefront::third_parties::mail::Mailer;
use storefront::variants::Variants;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::sessions::Grant;
use crate::settings::AccountSettings;
use crate::state::AppState;
use crate::welcome::Welcome;

/// What the accounts' handlers need besides.
pub struct Accounts {
    /// Bounds on what an account may do.
    pub settings: AccountSettings,
    /// When the welcome mail is sent.
    pub welcome: Welcome,
}

impl Accounts {
    /// Builds each component as the arm that the variants name.
    pub fn new(variants: &Variants, mailer: &Mailer, settings: AccountSettings) -> Self {
        Self {
            settings,
            welcome: Welcome::new(variants.welcome_email, mailer),
        }
    }
}

/// The accounts' routes.
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

/// Tokens, as RFC 6749 has them.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tokens {
    /// Sent with each request, as `authorization: Bearer …`.
    pub access_token: String,
    /// Traded for the next tokens, once.
    pub refresh_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// How long the access token is good, in seconds.
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
