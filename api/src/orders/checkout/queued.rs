//! **Technique**: the request does nothing of it. The event that says that the order is paid reaches the worker, whose
//! consumers do the work, each by itself, again when it failed.
//! **Cost**: the email leaves a moment after the answer; a broker and a worker to run.
//! **Fails when**: nobody consumes: orders stay `paid`, their work waits in queues, and nothing is lost.
//! **Source**: <https://www.rabbitmq.com/docs/reliability>

use storefront::messages::Consumer;

/// Nothing.
pub(super) const DOES_ITSELF: &[Consumer] = &[];
