//! **Technique**: hash where the handler runs, on a thread of the asynchronous runtime.
//! **Cost**: the thread runs nothing else meanwhile: every request that is ready waits for it, or for another thread.
//! **Fails when**: as many sign-ins run as there are threads: no request makes progress until a hash is done.
//! **Source**: <https://docs.rs/tokio/latest/tokio/index.html#cpu-bound-tasks-and-blocking-code>

use crate::settings::PasswordSettings;
use crate::web::error::ApiError;

/// The arm `password_hashing=runtime`.
pub struct Runtime;

impl Runtime {
    pub(super) fn new(_settings: PasswordSettings) -> Self {
        Self
    }

    #[expect(clippy::unused_async, reason = "blocks its thread, which is the point")]
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        Ok(work())
    }
}
