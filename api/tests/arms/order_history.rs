//! With `n_plus_one`, a page of orders takes one statement per order, plus one for the page.

use crate::orders::order_history::statements;
use crate::support::arms::with_arm;

#[tokio::test]
async fn n_plus_one_sends_a_statement_per_order_of_the_page() {
    let statements = with_arm("order_history", "n_plus_one", statements).await;
    assert_eq!(statements, [2, 4, 5]);
}
