//! The plans without the chosen indexes.

use crate::catalog::indexes::{
    DETAILS, LISTS, assert_indexes_match_the_file, most_rows_sorted, plans, reads_whole_table, uses_index,
};
use crate::support::arms::with_arm;

#[tokio::test]
async fn without_indexes_each_list_reads_and_sorts_the_table() {
    let paths: Vec<&str> = LISTS.iter().map(|(path, _)| *path).collect();
    let plans = with_arm("indexes", "none", async || plans(&paths).await).await;
    for (plans, path) in plans.iter().zip(paths) {
        assert!(reads_whole_table(plans, "products"), "{path}: {plans:#?}");
        assert!(most_rows_sorted(plans) > 20, "{path}: {plans:#?}");
    }
}

#[tokio::test]
async fn details_are_found_by_an_index_if_their_foreign_key_has_one() {
    let paths: Vec<&str> = DETAILS.iter().map(|(path, ..)| *path).collect();
    for (arm, found) in [("none", false), ("foreign_keys", true), ("chosen", true)] {
        let plans = with_arm("indexes", arm, async || plans(&paths).await).await;
        for (plans, (path, table, index)) in plans.iter().zip(DETAILS) {
            assert_eq!(uses_index(plans, index), found, "{path} with {arm}: {plans:#?}");
            assert_eq!(
                reads_whole_table(plans, table),
                !found,
                "{path} with {arm}: {plans:#?}"
            );
        }
    }
}

#[tokio::test]
async fn the_indexes_in_the_database_match_the_file_of_each_set() {
    for arm in ["none", "foreign_keys"] {
        with_arm("indexes", arm, async || assert_indexes_match_the_file(arm).await).await;
    }
}
