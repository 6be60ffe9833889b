//! An index set, and the changes that bring a database to it. No SQL runs here.

use std::collections::{BTreeMap, BTreeSet};

/// Suffix of an index whose definition has changed, until its successor is built.
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

/// Parses a set's statements. `Err` with the first that isn't a plain `create index`.
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
            let refused = || format!("`{statement}` is not `create [unique] index NAME on TABLE …`");
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

#[derive(Debug)]
pub(super) struct Existing {
    pub(super) definition: String,
    pub(super) is_valid: bool,
}

/// The names of indexes to change.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Invalid, from an interrupted run.
    pub(super) broken: Vec<String>,
    /// Same name, other definition.
    pub(super) replaced: Vec<String>,
    pub(super) create: Vec<String>,
    /// Created by another set and not part of this one.
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

    /// The names that belong to the set until the change is complete.
    pub(super) fn names_during_change(&self, wanted: &[String]) -> Vec<String> {
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
    // Postgres' identifiers have at most 63 bytes; those of the sets are ASCII.
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
                ("unrecorded", is("", true)),
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
