//! With `runtime`, a hash blocks the thread of other requests.

use crate::accounts::password_hashing::runs_another_task_during_a_hash;
use crate::support::arms::with_arm;

#[tokio::test]
async fn on_the_runtime_no_other_task_runs_during_a_hash() {
    let runs = with_arm("password_hashing", "runtime", runs_another_task_during_a_hash).await;
    assert!(!runs);
}
