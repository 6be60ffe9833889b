//! The application's state: every component, built once from the variants as the arm it stays.

use std::sync::Arc;

use storefront::redis::{Redis, RedisError};
use storefront::third_parties::ClientError;
use storefront::third_parties::mail::{MailUrlError, Mailer};
use storefront::variants::Variants;

use crate::accounts::Accounts;
use crate::admin::Administration;
use crate::catalog::Catalog;
use crate::database::{Database, DatabaseError, SideConnection};
use crate::orders::Orders;
use crate::passwords::Passwords;
use crate::sessions::Sessions;
use crate::settings::{HttpSettings, ReservationTooShort, Settings};

/// What handlers share.
pub type AppState = Arc<App>;

/// The components. They know which arm they were built as; nothing here knows the variants.
pub struct App {
    /// The door to Postgres.
    pub database: Database,
    /// To Postgres, beside the requests.
    pub side: SideConnection,
    /// Whom an access token speaks for.
    pub sessions: Sessions,
    /// Where passwords are hashed.
    pub passwords: Passwords,
    /// What the catalogue's handlers need besides.
    pub catalog: Catalog,
    /// What the admins' handlers need besides.
    pub admin: Administration,
    /// What the accounts' handlers need besides.
    pub accounts: Accounts,
    /// What the orders' handlers need besides.
    pub orders: Orders,
}

/// A service that is ready to be turned into a router by [`crate::app`].
pub struct Assembly {
    /// What handlers share.
    pub state: AppState,
    /// Read while the router is built, and shown by `/` and `/internal/variants`.
    pub variants: Variants,
    /// Bounds on every request.
    pub http: HttpSettings,
    /// What `/` links to.
    pub other_shop_url: Option<String>,
}

/// A setting that can't be used, found while the components were built.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// The database's URL.
    #[error(transparent)]
    DatabaseUrl(#[from] storefront::postgres::UrlError),
    /// The database's settings.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Redis' URL.
    #[error("BACKSTOCK_REDIS_URL is no Redis URL ({0}); an example: redis://127.0.0.1:6379/0")]
    Redis(#[from] RedisError),
    /// A third party's client.
    #[error(transparent)]
    ThirdParty(#[from] ClientError),
    /// Settings of orders that don't fit together.
    #[error(transparent)]
    Orders(#[from] ReservationTooShort),
    /// The mail server's URL.
    #[error(transparent)]
    Mail(#[from] MailUrlError),
}

/// Builds every component as its arm. Connects to nothing yet.
///
/// # Errors
/// When a URL can't be parsed.
pub fn assemble(settings: &Settings) -> Result<Assembly, AssemblyError> {
    let variants = settings.variants;
    let database = Database::new(variants.connections, &settings.database, &settings.bulkheads)?;
    let side = SideConnection::new(storefront::postgres::connect_options(
        &settings.database,
        "backstock-api side",
    )?);
    let replicas = storefront::postgres::connect_options(&settings.database, "backstock-api replicas")?;
    let redis = Redis::new(&settings.redis)?;
    let sessions = Sessions::new(
        variants.sessions,
        &settings.jwt_secrets,
        redis.clone(),
        settings.sessions,
    );
    let passwords = Passwords::new(variants.password_hashing, settings.passwords);
    let catalog = Catalog::new(&variants, redis, replicas, settings);
    let accounts = Accounts::new(
        &variants,
        &Mailer::new(&settings.mail)?,
        settings.accounts.clone(),
    );
    let orders = Orders::new(&variants, settings)?;
    Ok(Assembly {
        state: Arc::new(App {
            database,
            side,
            sessions,
            passwords,
            catalog,
            admin: Administration::new(settings),
            accounts,
            orders,
        }),
        variants,
        http: settings.http,
        other_shop_url: settings.other_shop_url.clone(),
    })
}
