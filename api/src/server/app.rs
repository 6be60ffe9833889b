//! The application's state: every component, built once at startup as its selected arm.
//!
//! A handler extracts its slice's part with `State` (`FromRef`), so no slice depends on another or on this module.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use platform::postgres::connect_options;
use platform::redis::Redis;
use shop::third_parties::mail::Mailer;
use techniques::Selection;

use crate::accounts::Accounts;
use crate::admin::Administration;
use crate::build_error::BuildAppError;
use crate::carts::Carts;
use crate::catalog::Catalog;
use crate::database::{ControlConnection, Database};
use crate::orders::Orders;
use crate::passwords::Passwords;
use crate::sessions::{Authentication, Sessions};
use crate::settings::{HttpSettings, Settings};
use crate::welcome_email::WelcomeEmail;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<App>);

/// The components. Each knows which arm it is; the `Selection` isn't part of the state.
pub struct App {
    pub database: Arc<Database>,
    pub control: Arc<ControlConnection>,
    pub sessions: Arc<Sessions>,
    pub passwords: Arc<Passwords>,
    pub catalog: Arc<Catalog>,
    pub carts: Arc<Carts>,
    pub accounts: Arc<Accounts>,
    pub orders: Arc<Orders>,
    pub admin: Arc<Administration>,
}

/// What [`crate::app`] turns into a router.
pub struct AppBuilder {
    pub state: AppState,
    /// Read while the router is built, and shown by `/` and `/internal/variants`.
    pub selection: Selection,
    pub http: HttpSettings,
    /// The address that `/` links to.
    pub other_shop_url: Option<String>,
}

/// Builds every component as its arm, without connecting to anything.
///
/// # Errors
/// When a URL can't be parsed or settings contradict each other.
pub fn build_app(settings: &Settings) -> Result<AppBuilder, BuildAppError> {
    let selection = settings.selection;
    let database = Database::new(selection.connections, &settings.database, &settings.bulkheads)?;
    let database = Arc::new(database);
    let control = ControlConnection::new(connect_options(&settings.database, "backstock-api control")?);
    let control = Arc::new(control);
    let replicas = connect_options(&settings.database, "backstock-api replicas")?;
    let redis = Redis::new(&settings.redis)?;
    let sessions = Arc::new(Sessions::new(
        selection.sessions,
        &settings.jwt_secrets,
        &redis,
        settings.sessions,
    ));
    let passwords = Arc::new(Passwords::new(selection.password_hashing, settings.passwords));
    let connections = (Arc::clone(&database), Arc::clone(&control));
    let accounts = Accounts {
        database: Arc::clone(&database),
        sessions: Arc::clone(&sessions),
        passwords: Arc::clone(&passwords),
        welcome: WelcomeEmail::select(selection.welcome_email, &Mailer::new(&settings.mail)?),
        settings: settings.accounts.clone(),
    };
    let app = App {
        catalog: Arc::new(Catalog::new(&selection, connections, redis, replicas, settings)),
        carts: Arc::new(Carts {
            database: Arc::clone(&database),
        }),
        accounts: Arc::new(accounts),
        orders: Arc::new(Orders::new(&selection, Arc::clone(&database), settings)?),
        admin: Arc::new(Administration::new(Arc::clone(&database), settings)),
        database,
        control,
        sessions,
        passwords,
    };
    Ok(AppBuilder {
        state: AppState(Arc::new(app)),
        selection,
        http: settings.http,
        other_shop_url: settings.other_shop_url.clone(),
    })
}

impl Deref for AppState {
    type Target = App;

    fn deref(&self) -> &App {
        &self.0
    }
}

impl FromRef<AppState> for Arc<Catalog> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.catalog)
    }
}

impl FromRef<AppState> for Arc<Carts> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.carts)
    }
}

impl FromRef<AppState> for Arc<Accounts> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.accounts)
    }
}

impl FromRef<AppState> for Arc<Orders> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.orders)
    }
}

impl FromRef<AppState> for Arc<Administration> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.admin)
    }
}

impl FromRef<AppState> for Authentication {
    fn from_ref(state: &AppState) -> Self {
        Self {
            sessions: Arc::clone(&state.sessions),
            database: Arc::clone(&state.database),
        }
    }
}
