//! **Technique**: none; responses are sent uncompressed.
//! **Cost**: the full response size on the network, and no CPU.
//! **Fails when**: clients are far away or on slow links, where transfer time dominates.
//! **Source**: RFC 9110 section 8.4, whose content codings it doesn't use.

use tower::layer::util::Identity;

pub(in crate::server) fn layer() -> Identity {
    Identity::new()
}
