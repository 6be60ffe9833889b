//! With `dual_write`, an event is lost while the broker is down.

use serde_json::json;

use crate::orders::events::outbox_without_a_broker;
use crate::support::arms::with_arm;

#[tokio::test]
async fn dual_write_loses_the_event() {
    let outbox = with_arm("events", "dual_write", outbox_without_a_broker).await;
    assert_eq!(outbox, json!([]));
}
