//! Why the application can't be built from its settings.

use platform::redis::RedisError;
use shop::third_parties::ClientError;
use shop::third_parties::mail::MailUrlError;

use crate::database::DatabaseError;
use crate::settings::ReservationTooShort;

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
