//! **Technique**: `select *`.
//! **Cost**: reads and transfers every column of the page's rows, including a description of about 1 KB that a list
//! doesn't show.
//! **Fails when**: rows are wide, or become wide, because every list pays for each column that is added later.
//! **Source**: <https://www.postgresql.org/docs/current/queries-select-lists.html>

pub const COLUMNS: &str = "p.*";
