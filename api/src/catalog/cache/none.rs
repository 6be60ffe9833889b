//! **Technique**: none; every answer is made from Postgres.
//! **Cost**: the statements of each request.
//! **Fails when**: the same answers are requested more often than the database can make them.
//! **Source**: the absence of <https://learn.microsoft.com/azure/architecture/patterns/cache-aside>

use platform::redis::Redis;

use super::Class;
use crate::catalog::changes::Changes;
use crate::settings::CacheSettings;
use crate::web::answer::Answer;
use crate::web::cursor::CursorKeys;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// The arm `catalog_cache=none`.
pub struct NoCache;

impl NoCache {
    pub(super) fn new(_redis: Redis, _settings: CacheSettings, _cursors: &CursorKeys) -> Self {
        Self
    }

    pub(super) async fn answer<W: Future<Output = Result<Answer, ApiError>>>(
        &self,
        _class: Class,
        _key: &str,
        _timings: &Timings,
        work: impl FnOnce() -> W,
    ) -> Result<Answer, ApiError> {
        work().await
    }

    pub(super) fn apply(&self, _changes: &Changes) {}

    pub(super) fn note_unreachable(&self) {}

    pub(super) fn knows_changes(&self) -> bool {
        true
    }

    pub(super) fn health(&self) -> &'static str {
        "unused"
    }
}
