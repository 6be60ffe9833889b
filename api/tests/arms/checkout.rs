//! With `inline`, the request does all work after a payment.

use serde_json::json;

use crate::orders::checkout::state_after_order;
use crate::support::arms::with_arm;

#[tokio::test]
async fn inline_does_everything_before_the_response() {
    let state = with_arm("checkout", "inline", state_after_order).await;
    assert_eq!(
        (state.response_status, state.status),
        (json!("paid"), json!("fulfilled"))
    );
    assert_eq!(
        state.events,
        json!([
            "created",
            "paid",
            "confirmation_sent",
            "label_created",
            "fulfilled"
        ])
    );
    assert_eq!(
        state.done,
        json!(["confirmation_email", "popularity", "shipping_label"])
    );
    assert_eq!(
        (state.sales, state.mails, state.labels, state.captured),
        (3, 1, 1, 1)
    );
}
