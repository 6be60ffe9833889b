//! **Technique**: the request does none of it. The event `order.paid` reaches the worker, whose consumers do each
//! part separately and retry it on failure.
//! **Cost**: the email leaves shortly after the response; a broker and a worker have to be operated.
//! **Fails when**: the worker is down: orders stay `paid`, their messages wait in queues, and nothing is lost.
//! **Source**: <https://www.rabbitmq.com/docs/reliability>

use shop::messages::Consumer;

pub(super) const HANDLED_IN_REQUEST: &[Consumer] = &[];
