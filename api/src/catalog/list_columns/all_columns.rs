//! **Technique**: `select *`.
//! **Cost**: reads and sends every column of every row of the page, among them a description of about 1 KB that a list
//! doesn't show.
//! **Fails when**: rows are wide, or become wide: a column that someone adds later is paid by every list.
//! **Source**: <https://www.postgresql.org/docs/current/queries-select-lists.html>

/// Whatever the table has.
pub const COLUMNS: &str = "p.*";
