//! What an index set consists of, and what has to change in a database for it. No SQL runs here.

use std::collections::{BTreeMap, BTreeSet};

/// What an index is renamed to whose definition has changed, until its successor is built.
const REPLACED: &str = "_replaced";

/// A named set of `create index` statements.
#[derive(Debug)]
pub(super) struct IndexSet {
    pub(super) arm: &'static str,
    pub(super) sql: &'static str,
    pub(super) indexes: Vec<Index>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) table: String,
    /// The statement, from its name on.
    pub(super) rest: String,
    pub(super) is_unique: bool,
}

impl IndexSet {
    pub(super) fn new(arm: &'static str, sql: &'static str) -> IndexSet {
        let indexes = parse(sql).expect("a test parses every index set of this build");
        IndexSet { arm, sql, indexes }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.indexes.iter().map(|index| index.name.clone()).collect()
    }
}

impl Index {
    pub(super) fn create_concurrently(&self) -> String {
        let unique = if self.is_unique { "unique " } else { "" };
        format!("create {unique}index concurrently {}", self.rest)
    }
}

/// The statements of a set; `Err` with the first that is no plain `create index`.
fn parse(sql: &str) -> Result<Vec<Index>, String> {
    let without_comments: Vec<&str> = sql
        .lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
        .collect();
    let without_comments = without_comments.join("\n");
    let statements = without_comments.split(';').map(str::trim);
    statements
        .filter(|statement| !statement.is_empty())
        .map(|statement| {
            let refused = || format!("`{statement}` is no `create [unique] index NAME on TABLE …`");
            let (is_unique, rest) = match statement.strip_prefix("create unique index ") {
                Some(rest) => (true, rest),
                None => (
                    false,
                    statement.strip_prefix("create index ").ok_or_else(refused)?,
                ),
            };
            let mut words = rest.split_whitespace();
            let (Some(name), Some("on"), Some(table)) = (words.next(), words.next(), words.next()) else {
                return Err(refused());
            };
            Ok(Index {
                name: name.to_owned(),
                // `on products(id)` needs no space.
                table: table.split('(').next().unwrap_or(table).to_owned(),
                rest: rest.to_owned(),
                is_unique,
            })
        })
        .collect()
}

/// An index that a database has.
#[derive(Debug)]
pub(super) struct Existing {
    pub(super) definition: String,
    pub(super) is_valid: bool,
}

/// What is to be done, by names.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Half built by a run that was interrupted.
    pub(super) broken: Vec<String>,
    /// Another definition under the same name.
    pub(super) replaced: Vec<String>,
    pub(super) create: Vec<String>,
    /// Made by a set, and in this one no more.
    pub(super) drop: Vec<String>,
}

impl Changes {
    pub(super) fn between(
        wanted: &BTreeMap<String, String>,
        existing: &BTreeMap<String, Existing>,
        recorded: &[String],
    ) -> Changes {
        let mut changes = Changes::default();
        for (name, definition) in wanted {
            match existing.get(name) {
                Some(index) if index.is_valid && index.definition == *definition => continue,
                Some(index) if index.is_valid => changes.replaced.push(name.clone()),
                Some(_) => changes.broken.push(name.clone()),
                None => {}
            }
            changes.create.push(name.clone());
        }
        for name in recorded.iter().filter(|name| !wanted.contains_key(*name)) {
            match existing.get(name) {
                Some(index) if index.is_valid => changes.drop.push(name.clone()),
                Some(_) => changes.broken.push(name.clone()),
                None => {}
            }
        }
        changes
    }

    /// The names that the set is responsible for until all is done.
    pub(super) fn names_meanwhile(&self, wanted: &[String]) -> Vec<String> {
        let replaced = self.replaced.iter().map(|name| replaced_name(name));
        let all: BTreeSet<String> = wanted
            .iter()
            .chain(&self.drop)
            .chain(&self.broken)
            .cloned()
            .chain(replaced)
            .collect();
        all.into_iter().collect()
    }
}

pub(super) fn replaced_name(name: &str) -> String {
    // Postgres' names have 63 bytes; those of the sets are ASCII.
    let kept = name.len().min(63 - REPLACED.len());
    format!("{}{REPLACED}", &name[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_set_of_this_build_is_create_index_statements() {
        let sets = [
            include_str!("../../../migrations/indexes/none.sql"),
            include_str!("../../../migrations/indexes/foreign_keys.sql"),
            include_str!("../../../migrations/indexes/chosen.sql"),
        ];
        for set in sets {
            parse(set).unwrap();
        }
        assert_eq!(parse(sets[0]).unwrap(), []);
        assert!(parse("alter table products set (fillfactor = 90);").is_err());
        let unique = &parse("-- why; so\ncreate unique index a_idx on a\n    (b) where c;").unwrap()[0];
        assert_eq!(
            unique.create_concurrently(),
            "create unique index concurrently a_idx on a\n    (b) where c"
        );
    }

    #[test]
    fn only_what_differs_is_changed() {
        let wanted =
            BTreeMap::from(["same", "new", "changed", "half"].map(|name| (name.to_owned(), name.to_owned())));
        let is = |definition: &str, is_valid| Existing {
            definition: definition.to_owned(),
            is_valid,
        };
        let existing = BTreeMap::from(
            [
                ("same", is("same", true)),
                ("changed", is("other", true)),
                ("half", is("half", false)),
                ("gone", is("gone", true)),
                ("somebodys_own", is("", true)),
            ]
            .map(|(name, index)| (name.to_owned(), index)),
        );
        let recorded = ["same", "changed", "gone", "gone_long_ago"].map(str::to_owned);
        let changes = Changes::between(&wanted, &existing, &recorded);
        assert_eq!(changes.create, ["changed", "half", "new"]);
        assert_eq!(changes.replaced, ["changed"]);
        assert_eq!(changes.broken, ["half"]);
        assert_eq!(changes.drop, ["gone"]);
    }
}
