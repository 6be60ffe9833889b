//! **Technique**: none; every answer is made from Postgres.
//! **Cost**: the statements of each request.
//! **Fails when**: the same answers are requested more often than the database can make them.
//! **Source**: the absence of <https://learn.microsoft.com/azure/architecture/patterns/cache-aside>

use crate::web::answer::Answer;
use crate::web::error::ApiError;

/// The arm `catalog_cache=none`.
pub struct NoCache;

impl NoCache {
    pub(super) async fn answer(
        &self,
        work: impl Future<Output = Result<Answer, ApiError>>,
    ) -> Result<Answer, ApiError> {
        work.await
    }
}
