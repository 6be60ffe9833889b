//! The application's state: every component, built once at startup as the arm that is selected.

use std::sync::Arc;

use platform::redis::{Redis, RedisError};
use shop::third_parties::ClientError;
use shop::third_parties::mail::{MailUrlError, Mailer};
use techniques::Selection;

use crate::accounts::Accounts;
use crate::admin::Administration;
use crate::catalog::Catalog;
use crate::database::{ControlConnection, Database, DatabaseError};
use crate::orders::Orders;
use crate::passwords::Passwords;
use crate::sessions::Sessions;
use crate::settings::{HttpSettings, ReservationTooShort, Settings};

/// What handlers share.
pub type AppState = Arc<App>;

/// The components. Each knows which arm it is; the `Selection` isn't part of the state.
pub struct App {
    pub database: Database,
    pub control: ControlConnection,
    pub sessions: Sessions,
    pub passwords: Passwords,
    pub catalog: Catalog,
    pub admin: Administration,
    pub accounts: Accounts,
    pub orders: Orders,
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

/// A setting that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BuildAppError {
    #[error(transparent)]
    DatabaseUrl(#[from] platform::postgres::UrlError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("BACKSTOCK_REDIS_URL is not a Redis URL ({0}); an example: redis://127.0.0.1:6379/0")]
    Redis(#[from] RedisError),
    #[error(transparent)]
    ThirdParty(#[from] ClientError),
    #[error(transparent)]
    Orders(#[from] ReservationTooShort),
    #[error(transparent)]
    Mail(#[from] MailUrlError),
}

/// Builds every component as its arm, without connecting to anything.
///
/// # Errors
/// When a URL can't be parsed or settings contradict each other.
pub fn build_app(settings: &Settings) -> Result<AppBuilder, BuildAppError> {
    let selection = settings.selection;
    let database = Database::new(selection.connections, &settings.database, &settings.bulkheads)?;
    let control = ControlConnection::new(platform::postgres::connect_options(
        &settings.database,
        "backstock-api control",
    )?);
    let replicas = platform::postgres::connect_options(&settings.database, "backstock-api replicas")?;
    let redis = Redis::new(&settings.redis)?;
    let sessions = Sessions::new(
        selection.sessions,
        &settings.jwt_secrets,
        redis.clone(),
        settings.sessions,
    );
    let passwords = Passwords::new(selection.password_hashing, settings.passwords);
    let catalog = Catalog::new(&selection, redis, replicas, settings);
    let accounts = Accounts::new(
        &selection,
        &Mailer::new(&settings.mail)?,
        settings.accounts.clone(),
    );
    let orders = Orders::new(&selection, settings)?;
    Ok(AppBuilder {
        state: Arc::new(App {
            database,
            control,
            sessions,
            passwords,
            catalog,
            admin: Administration::new(settings),
            accounts,
            orders,
        }),
        selection,
        http: settings.http,
        other_shop_url: settings.other_shop_url.clone(),
    })
}
