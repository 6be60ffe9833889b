//! **Technique**: none: answers are sent as they are.
//! **Cost**: the answer's bytes on the network, and no CPU.
//! **Fails when**: clients are far away or on a slow link: they wait for bytes that say little.
//! **Source**: RFC 9110 section 8.4, whose content codings it leaves unused.

use axum::Router;

/// See the module.
pub(super) fn wrap(router: Router) -> Router {
    router
}
