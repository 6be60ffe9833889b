//! The preset `baseline`: its budgets, and guarantees that hold for both presets.

use crate::budgets::operations::count_purchase;
use crate::budgets::{assert_recorded, costs};
use crate::catalog::bad_input::assert_metacharacters_are_plain_text;
use crate::catalog::statement_combinations::assert_all_run;
use crate::faults::postgres::assert_outage_and_recovery;
use crate::support::arms::with_selection;
use crate::support::simulators::Simulators;

#[tokio::test]
async fn budgets_of_every_route() {
    let costs = with_selection("baseline", costs).await;
    assert_recorded("arms/budgets/routes.json", &costs);
}

#[tokio::test]
async fn budgets_of_every_operation() {
    let simulators = Simulators::start().await;
    let statements = with_selection("baseline", async || count_purchase(&simulators).await).await;
    assert_recorded("arms/budgets/operations.json", &statements);
}

#[tokio::test]
async fn every_statement_of_a_list_runs() {
    // Pooled, because a new connection per request would take a minute here.
    with_selection("baseline,connections=pooled", assert_all_run).await;
}

#[tokio::test]
async fn sql_metacharacters_are_plain_text() {
    with_selection("baseline", assert_metacharacters_are_plain_text).await;
}

#[tokio::test]
async fn it_recovers_from_an_outage_of_postgres() {
    with_selection("baseline", assert_outage_and_recovery).await;
}
