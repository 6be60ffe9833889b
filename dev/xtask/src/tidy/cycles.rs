//! The rule on import cycles: a crate's top-level modules form none, nor do the files of the orders' slice, whose flow is
//! a line. A cycle can only be read as a whole.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::files::{Files, TextFile};

/// The crates whose top-level modules are checked.
const CRATES: [&str; 10] = [
    "api",
    "worker",
    "shop",
    "platform",
    "techniques",
    "dev/dataset",
    "dev/local-services",
    "dev/simulators",
    "dev/tcp-proxy",
    "dev/xtask",
];

/// A module whose files are checked one by one.
const LINE: (&str, &str) = ("api", "orders");

/// Each module with those that it imports, and the file and line of one such import.
type Graph = BTreeMap<String, BTreeMap<String, (String, usize)>>;

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let crates = CRATES.iter().map(|name| top_level(files, name));
    let graphs = crates.chain([within(files, LINE.0, LINE.1)]);
    graphs.filter_map(|graph| cycle(&graph)).collect()
}

/// The modules at the top of a crate. The crate's root imports all of them.
fn top_level(files: &Files, name: &str) -> Graph {
    let mut graph = Graph::new();
    for (file, module) in modules(files, name) {
        let Some(from) = module.first() else { continue };
        let imported = graph.entry(from.clone()).or_default();
        for (path, line) in imports(file, &module) {
            if let Some(to) = path.first().filter(|to| *to != from) {
                imported
                    .entry(to.clone())
                    .or_insert_with(|| (file.path.clone(), line));
            }
        }
    }
    graph
}

/// The files below a module. A folder's `mod.rs` and the files in it may import each other: an enum and its arms.
fn within(files: &Files, name: &str, top: &str) -> Graph {
    let below: Vec<_> = modules(files, name)
        .filter(|(_, module)| module.len() > 1 && module[0] == top)
        .collect();
    let known: BTreeSet<String> = below.iter().map(|(_, module)| module.join("::")).collect();
    let mut graph = Graph::new();
    for (file, module) in &below {
        let from = module.join("::");
        let imported = graph.entry(from.clone()).or_default();
        for (path, line) in imports(file, module) {
            let prefixes = (2..=path.len()).rev().map(|length| path[..length].join("::"));
            let target = prefixes.into_iter().find(|prefix| known.contains(prefix));
            if let Some(to) = target.filter(|to| !is_family(&from, to)) {
                imported.entry(to).or_insert_with(|| (file.path.clone(), line));
            }
        }
    }
    graph
}

fn is_family(one: &str, other: &str) -> bool {
    let contains = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    contains(one, other) || contains(other, one)
}

/// The files of a crate with their modules' paths; the crate's root has none.
fn modules<'a>(files: &'a Files, name: &str) -> impl Iterator<Item = (&'a TextFile, Vec<String>)> {
    let sources = format!("{name}/src/");
    files.ending(".rs").filter_map(move |file| {
        let path = file.path.strip_prefix(&sources)?.trim_end_matches(".rs");
        let path = path.trim_end_matches("/mod");
        let module: Vec<String> = path.split('/').map(str::to_owned).collect();
        let is_root = module.len() == 1 && ["main", "lib"].contains(&module[0].as_str());
        Some((file, if is_root { Vec::new() } else { module }))
    })
}

/// The paths in the crate that a file names, outside of its tests, each with its line.
fn imports(file: &TextFile, module: &[String]) -> Vec<(Vec<String>, usize)> {
    let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let line_begin = code[..at].rfind('\n').map_or(0, |end| end + 1);
            let is_inside_path = code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
            if is_inside_path || code[line_begin..at].contains("//") {
                continue;
            }
            let (mut path, mut rest) = (module.to_vec(), &code[at..]);
            if let Some(after) = rest.strip_prefix("crate::") {
                path.clear();
                rest = after;
            }
            while let Some(after) = rest.strip_prefix("super::") {
                path.pop();
                rest = after;
            }
            let line = code[..at].matches('\n').count() + 1;
            for names in named(rest) {
                found.push((path.iter().cloned().chain(names).collect(), line));
            }
        }
    }
    found
}

/// The paths at the beginning of a text: one, or those of a group in braces. A group within a group isn't followed.
fn named(text: &str) -> Vec<Vec<String>> {
    let Some(group) = text.strip_prefix('{') else {
        return vec![segments(text)];
    };
    let mut depth = 0;
    let split = |c: char| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    };
    let end = group.find("};").unwrap_or(group.len());
    group[..end]
        .split(split)
        .map(|part| segments(part.trim()))
        .collect()
}

fn segments(path: &str) -> Vec<String> {
    let is_end = |c: char| !(c.is_alphanumeric() || c == '_' || c == ':');
    let path = path.split(is_end).next().unwrap_or_default();
    path.split("::")
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A finding at one import of the first cycle.
fn cycle(graph: &Graph) -> Option<Finding> {
    graph.keys().find_map(|start| {
        let path = path_back(graph, start)?;
        let (file, line) = &graph[&path[0]][path.get(1).unwrap_or(start)];
        let message = format!(
            "import cycle: {} → {start}; move what they share below both",
            path.join(" → ")
        );
        Some(Finding::new(file, *line, message))
    })
}

/// A shortest path from a module back to itself, without its end.
fn path_back(graph: &Graph, start: &str) -> Option<Vec<String>> {
    let mut paths = vec![vec![start.to_owned()]];
    let mut seen = BTreeSet::new();
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            let Some(imported) = graph.get(path.last()?) else {
                continue;
            };
            if imported.contains_key(start) {
                return Some(path);
            }
            for next in imported.keys().filter(|next| seen.insert((*next).clone())) {
                longer.push(path.iter().chain([next]).cloned().collect());
            }
        }
        paths = longer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sources: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| TextFile {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        let files = Files {
            all: sources.iter().map(file).collect(),
        };
        check(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_cycle_of_top_level_modules_is_found() {
        let found = found(&[
            ("api/src/lib.rs", "pub use crate::web::x;\n"),
            ("api/src/web/error.rs", "//! x\nuse crate::database::Lock;\n"),
            ("api/src/database.rs", "use super::{metrics, sql::Text};\n"),
            ("api/src/metrics.rs", "fn f() { crate::web::error::g() }\n"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("database → metrics → web → database"),
            "{found:?}"
        );
    }

    #[test]
    fn comments_tests_and_files_of_one_module_form_no_cycle() {
        let found = found(&[
            (
                "api/src/web/error.rs",
                "// use crate::database::Lock;\nuse super::body;\n",
            ),
            ("api/src/web/body.rs", "use super::error;\n"),
            (
                "api/src/database.rs",
                "use crate::web::error;\n#[cfg(test)]\nmod tests { use crate::metrics; }\n",
            ),
            ("api/src/metrics.rs", "use crate::database::{Class};\n"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn the_files_of_orders_form_a_line() {
        let family = [
            ("api/src/orders/mod.rs", "use self::payment::Payment;\n"),
            (
                "api/src/orders/stock/mod.rs",
                "pub mod arm;\nuse super::draft::Draft;\n",
            ),
            (
                "api/src/orders/stock/arm.rs",
                "use super::Stock;\nuse crate::orders::draft;\n",
            ),
            ("api/src/orders/payment.rs", "use super::{draft, stock::arm};\n"),
        ];
        let draft = |text| [&family[..], &[("api/src/orders/draft.rs", text)]].concat();
        assert_eq!(found(&draft("use super::Orders;\n")), Vec::<String>::new());
        let circle = found(&draft("use super::payment::Payment;\n"));
        assert!(
            circle[0].contains("orders::draft → orders::payment → orders::draft"),
            "{circle:?}"
        );
    }
}
