//! Selects the files of the copy: ours without those of the lab and of lessons, and without marked passages. Files in
//! `files/` replace ours or are added.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Files;
use super::tokens::Source;

/// Files and directories that the copy lacks.
const DROPPED: &[&str] = &[
    "CONTRIBUTING.md",
    "api/src/orders/checkout/",
    "api/src/sessions/jwt.rs",
    "api/tests/arms/",
    "api/tests/support/arms.rs",
    "deploy/compose/lab",
    "deploy/compose/results/",
    "deploy/grafana/dashboards/comparison.json",
    "deploy/startup-claim",
    "dev/dataset/",
    "dev/xtask/src/up/demo.rs",
    "dev/xtask/src/eject/",
    "dev/xtask/src/new/tests.rs",
    "dev/xtask/src/tidy/",
    "docs/FORKING.md",
    "docs/images/",
    "docs/lessons/",
    "loadtests/",
    "migrations/indexes/foreign_keys.sql",
    "migrations/indexes/none.sql",
    "techniques/",
    "worker/tests/arms/",
    "worker/tests/support/arms.rs",
];

/// Settings that no program of the copy has.
const DROPPED_SETTINGS: &[&str] = &["BACKSTOCK_VARIANTS", "BACKSTOCK_OTHER_SHOP_URL", "--indexes"];

/// Settings that only the worker of the copy has.
const DROPPED_API_SETTINGS: &[&str] = &[
    "BACKSTOCK_AMQP_URL",
    "BACKSTOCK_CARRIER_CALLBACK_URL",
    "BACKSTOCK_CARRIER_TIMEOUT_MS",
    "BACKSTOCK_CARRIER_URL",
    "BACKSTOCK_MAIL_FROM",
    "BACKSTOCK_SMTP_CONNECTIONS",
    "BACKSTOCK_SMTP_TIMEOUT_MS",
    "BACKSTOCK_SMTP_URL",
];

/// Files of the copy that replace ours or are added.
const OVERLAY: &str = "dev/xtask/src/eject/files";

/// The lines that begin and end a passage to cut.
const MARKERS: [(&str, &str); 2] = [
    ("<!-- only with lessons -->", "<!-- end -->"),
    ("# only with lessons", "# end"),
];

/// Our files that the copy has, without marked passages.
pub(super) fn selected(root: &Path) -> Result<Files> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .context("git can't be started")?;
    ensure!(
        listed.status.success(),
        "git can't list the files of {}: {}",
        root.display(),
        String::from_utf8_lossy(&listed.stderr)
    );
    let listed = String::from_utf8(listed.stdout).context("a path isn't UTF-8")?;
    let mut files = Files::new();
    for path in listed.split_terminator('\0') {
        let is_dropped = DROPPED
            .iter()
            .any(|dropped| path == *dropped || (dropped.ends_with('/') && path.starts_with(dropped)));
        let file = root.join(path);
        if is_dropped || !file.is_file() {
            continue;
        }
        let content = std::fs::read(&file).with_context(|| format!("can't read {path}"))?;
        let content = cut_marked_passages(path, content)?;
        let content = match path.strip_suffix(".md") {
            Some(_) => adapt_document(content),
            None => content,
        };
        files.insert(path.to_owned(), content);
    }
    Ok(files)
}

/// Cuts the passages between [`MARKERS`], and a blank line that would be doubled. Rust sources have no markers.
fn cut_marked_passages(path: &str, content: Vec<u8>) -> Result<Vec<u8>> {
    let Ok(text) = String::from_utf8(content.clone()) else {
        return Ok(content);
    };
    if path.ends_with(".rs") || !MARKERS.iter().any(|(begin, _)| text.contains(begin)) {
        return Ok(content);
    }
    let mut output = String::with_capacity(text.len());
    let mut end_marker = None;
    let mut was_cut = false;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if let Some(end) = end_marker {
            if trimmed == end {
                end_marker = None;
                was_cut = true;
            }
            continue;
        }
        if let Some((_, end)) = MARKERS.iter().find(|(begin, _)| trimmed == *begin) {
            end_marker = Some(*end);
            continue;
        }
        let is_second_blank = trimmed.is_empty() && (output.ends_with("\n\n") || output.is_empty());
        if was_cut && is_second_blank {
            continue;
        }
        was_cut = false;
        output.push_str(line);
    }
    ensure!(end_marker.is_none(), "{path}: a marked passage isn't ended");
    Ok(output.into_bytes())
}

/// Removes links to recorded results, and settings that the copy lacks.
fn adapt_document(content: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(content).expect("documents are UTF-8");
    let mut output = String::with_capacity(text.len());
    let mut is_api = false;
    for line in without_links_to_results(&text).split_inclusive('\n') {
        if let Some(block) = line.strip_prefix("<!-- settings:") {
            is_api = block.contains("-api serve:begin");
            continue;
        }
        let is_row_of = |names: &[&str]| {
            names.iter().any(|name| {
                line.starts_with(&format!("| `{name}` |")) || line.contains(&format!("| `{name}` | –"))
            })
        };
        if is_row_of(DROPPED_SETTINGS) || (is_api && is_row_of(DROPPED_API_SETTINGS)) {
            continue;
        }
        output.push_str(line);
    }
    output.into_bytes()
}

/// `[2 253](../loadtests/… "…")` becomes `2 253`.
fn without_links_to_results(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("](../loadtests/") {
        let open = rest[..at].rfind('[').expect("a link has a text");
        let end = rest[at..]
            .find("\")")
            .map_or_else(|| rest[at..].find(')').map(|end| end + 1), |end| Some(end + 2));
        let end = at + end.expect("a link ends");
        output.push_str(&rest[..open]);
        output.push_str(&rest[open + 1..at]);
        rest = &rest[end..];
    }
    output.push_str(rest);
    output
}

/// Adds the files of `files/`, which replace those with the same path.
pub(super) fn overlay(root: &Path, files: &mut Files) -> Result<()> {
    let folder = root.join(OVERLAY);
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| format!("can't read {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let relative = path
                .strip_prefix(&folder)
                .context("the file is outside of the folder")?;
            let name = relative.to_str().context("a path isn't UTF-8")?.to_owned();
            files.insert(name, std::fs::read(&path)?);
        }
    }
    Ok(())
}

/// Drops the entries of `.sqlx/` whose queries no Rust or SQL file of the copy contains.
pub(super) fn drop_unused_queries(files: &mut Files) -> Result<()> {
    let mut queries = BTreeSet::new();
    for (path, content) in &*files {
        let Ok(text) = std::str::from_utf8(content) else {
            continue;
        };
        if path.ends_with(".sql") {
            queries.insert(text.to_owned());
        }
        if path.ends_with(".rs") {
            let source = Source::parse(path, text.to_owned())?;
            queries.extend(
                source
                    .tokens
                    .iter()
                    .filter_map(|token| literal_value(&token.text)),
            );
        }
    }
    let mut result = Ok(());
    files.retain(|path, content| {
        if !path.starts_with(".sqlx/") {
            return true;
        }
        let parsed = serde_json::from_slice::<serde_json::Value>(content);
        match parsed.with_context(|| format!("{path} isn't JSON")) {
            Ok(entry) => entry["query"]
                .as_str()
                .is_some_and(|query| queries.contains(query)),
            Err(error) => {
                result = Err(error);
                true
            }
        }
    });
    result
}

/// The value of a string literal. `None` for another token.
fn literal_value(token: &str) -> Option<String> {
    if let Some(raw) = token.strip_prefix('r') {
        let hashes = raw.bytes().take_while(|byte| *byte == b'#').count();
        let inner = raw.get(hashes..raw.len() - hashes)?;
        return Some(inner.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    }
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    let mut value = String::with_capacity(inner.len());
    let mut characters = inner.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' {
            value.push(character);
            continue;
        }
        match characters.next()? {
            'n' => value.push('\n'),
            't' => value.push('\t'),
            '\n' => while characters.next_if(|next| next.is_whitespace()).is_some() {},
            other => value.push(other),
        }
    }
    Some(value)
}

/// Replaces our name in paths and contents.
pub(super) fn renamed(files: Files, name: &str) -> Files {
    let capitalized = name[..1].to_uppercase() + &name[1..];
    let rename = |text: &str| {
        text.replace("indexes/chosen.sql", "indexes/storefront.sql")
            .replace("backstock", name)
            .replace("BACKSTOCK", &name.to_uppercase())
            .replace("Backstock", &capitalized)
    };
    files
        .into_iter()
        .map(|(path, content)| {
            // The licences keep the name of the original work.
            let content = match String::from_utf8(content) {
                Ok(text) if !path.starts_with("LICENSE") => rename(&text).into_bytes(),
                Ok(text) => text.into_bytes(),
                Err(error) => error.into_bytes(),
            };
            (rename(&path), content)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_passages_are_cut() {
        let text =
            "a\n\n<!-- only with lessons -->\nb\n<!-- end -->\n\nc\n  # only with lessons\n  d\n  # end\ne\n";
        let cut = cut_marked_passages("docs/x.md", text.as_bytes().to_vec()).unwrap();
        assert_eq!(String::from_utf8(cut).unwrap(), "a\n\nc\ne\n");
    }

    #[test]
    fn a_passage_without_an_end_is_an_error() {
        let error = cut_marked_passages("x.md", b"<!-- only with lessons -->\n".to_vec()).unwrap_err();
        assert!(error.to_string().contains("isn't ended"));
    }

    #[test]
    fn a_document_has_no_links_to_results_and_no_settings_of_lessons() {
        let text = "[2 253](../loadtests/x.json \"a / b (c)\") and [b](b.md)\n\
                    <!-- settings:backstock-api serve:begin -->\n| `BACKSTOCK_VARIANTS` | x |\n| `BACKSTOCK_SMTP_URL` | x |\n\
                    | `BACKSTOCK_B` | x |\n| – | `--indexes` | – | x |\n<!-- settings:backstock-api serve:end -->\n\
                    | `BACKSTOCK_SMTP_URL` | x |\n";
        assert_eq!(
            String::from_utf8(adapt_document(text.as_bytes().to_vec())).unwrap(),
            "2 253 and [b](b.md)\n| `BACKSTOCK_B` | x |\n| `BACKSTOCK_SMTP_URL` | x |\n"
        );
    }

    #[test]
    fn literals_have_their_values() {
        assert_eq!(literal_value(r##"r#"a "b""#"##).unwrap(), "a \"b\"");
        assert_eq!(literal_value("\"a\\n\\\n   b\\\"\"").unwrap(), "a\nb\"");
        assert_eq!(literal_value("a"), None);
    }
}
