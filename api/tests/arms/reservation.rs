//! With `multi_statement`, a reservation takes a statement for each step.

use crate::orders::reservation::statements;
use crate::support::arms::with_arm;

#[tokio::test]
async fn multi_statement_sends_a_statement_for_each_step() {
    let statements = with_arm("reservation", "multi_statement", statements).await;
    assert_eq!(statements, [7, 7, 7]);
}
