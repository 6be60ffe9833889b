//! **Technique**: none: answers are sent as they are.
//! **Cost**: the answer's bytes on the network, and no CPU.
//! **Fails when**: clients are far away or on a slow link: they wait for bytes that say little.
//! **Source**: RFC 9110 section 8.4, whose content codings it leaves unused.

use tower::layer::util::Identity;

/// See the module.
pub(in crate::http) fn layer() -> Identity {
    Identity::new()
}
