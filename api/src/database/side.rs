//! A connection beside those that requests use: for what must be known while requests wait for theirs, the catalogue's
//! epoch and whether Postgres answers at all.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::Mutex;

/// How long connecting and asking may take together. Well below the second within which readers see a change.
const TIMEOUT: Duration = Duration::from_millis(500);

/// One connection, opened when it is first used and again after it failed.
pub struct SideConnection {
    options: PgConnectOptions,
    held: Mutex<Option<PgConnection>>,
}

impl SideConnection {
    /// Connects to nothing yet.
    pub fn new(options: PgConnectOptions) -> Self {
        Self {
            options,
            held: Mutex::new(None),
        }
    }

    /// The catalogue's epoch, which also proves that Postgres answers.
    ///
    /// # Errors
    /// When it doesn't within half a second.
    pub async fn epoch(&self) -> Result<i64, sqlx::Error> {
        match tokio::time::timeout(TIMEOUT, self.ask()).await {
            Ok(answer) => answer,
            Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        }
    }

    /// The connection is put back only after a whole answer: one that failed or was given up is closed.
    async fn ask(&self) -> Result<i64, sqlx::Error> {
        let mut held = self.held.lock().await;
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        let epoch = crate::catalog::cache::read_epoch(&mut connection).await?;
        *held = Some(connection);
        Ok(epoch)
    }
}
