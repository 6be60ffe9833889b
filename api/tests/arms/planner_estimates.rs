//! With `hidden`, lists whose values are rarer or more common than the planner's estimate are expensive.

use crate::catalog::worst_list::{MAX_BUFFERS, costs};
use crate::support::arms::with_arm;

#[tokio::test]
async fn the_worst_list_reads_the_whole_catalogue_if_values_are_hidden() {
    let costs = with_arm("planner_estimates", "hidden", costs).await;
    let expensive = costs.iter().filter(|(buffers, _)| *buffers > MAX_BUFFERS).count();
    assert!(
        expensive >= 5,
        "only {expensive} are expensive: {:#?}",
        &costs[..5]
    );
}
