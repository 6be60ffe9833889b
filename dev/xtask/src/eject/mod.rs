//! `cargo xtask eject DIR --name acme`: writes the service alone, as the start of a real one. Each component is its optimized
//! arm; lessons, switches, the lab and the tests of arms are left out, and everything has the new name.
//!
//! The steps, in order: `plan.rs` selects the files and cuts marked passages; the Rust sources are transformed
//! (`baselines.rs`, `components.rs`, `selection.rs`, `arms_in_tests.rs`, `imports.rs`, `comments.rs`); `rewrites.rs` has the places that no
//! rule covers; `files/` replaces or adds whole files; then all is renamed and formatted.

mod arms_in_tests;
mod baselines;
mod comments;
mod components;
mod imports;
mod manifests;
mod plan;
mod rewrites;
mod selection;
mod tokens;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use self::comments::Vocabulary;
use self::components::Ignored;
use self::tokens::Source;

/// The files of the copy: contents by path.
type Files = BTreeMap<String, Vec<u8>>;

/// Writes the copy.
///
/// # Errors
/// When the name is invalid, the directory isn't empty, or the sources no longer have what a rule expects.
pub(crate) fn eject(directory: &Path, name: &str) -> Result<()> {
    check_name(name)?;
    check_directory(directory)?;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = plan::selected(&root)?;
    let before = files.clone();
    rewrites::apply(&mut files)?;
    transform(&before, &mut files)?;
    plan::overlay(&root, &mut files)?;
    rewrite_comments(&mut files)?;
    manifests::adapt(&before, &mut files)?;
    plan::drop_unused_queries(&mut files)?;
    for (path, content) in plan::renamed(files, name) {
        write(&root, directory, &path, &content)?;
    }
    format(directory)?;
    println!(
        "{} is the service alone, as `{name}`. What next:\n\n    cd {}\n    git init\n    make up      # one shop on http://localhost:8080\n    \
         make test\n\nAGENTS.md says where things are, and how to add a slice, a consumer or a task.",
        directory.display(),
        directory.display()
    );
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    let is_valid = (2..=20).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    ensure!(
        is_valid,
        "`{name}` can't be the name of crates, variables and metrics: choose 2 to 20 lower-case letters and digits that begin \
         with a letter, for example `acme`"
    );
    Ok(())
}

fn check_directory(directory: &Path) -> Result<()> {
    if directory.is_file() {
        bail!("{} is a file; name a new or empty directory", directory.display());
    }
    if directory.is_dir() && std::fs::read_dir(directory)?.next().is_some() {
        bail!(
            "{} isn't empty; name a new or empty directory, so that nothing is overwritten",
            directory.display()
        );
    }
    Ok(())
}

/// Removes arms from the Rust sources. `before` is what they were.
fn transform(before: &Files, files: &mut Files) -> Result<()> {
    let originals = sources(before)?;
    strip_baselines(files)?;
    let mut components = Vec::new();
    for (path, source) in &sources(files)? {
        components.extend(components::declared(path, source));
    }
    let mut ignored = Ignored::default();
    for (path, source) in &sources(files)? {
        let changed = components::replace_declarations(path, source, &components)
            .or_else(|| components::drop_ignored_parameters(path, source, &components, &mut ignored));
        replace(files, path, changed);
    }
    for (path, source) in &sources(files)? {
        replace(
            files,
            path,
            components::adapt_calls(path, source, &components, &ignored),
        );
    }
    for (path, source) in &sources(files)? {
        replace(files, path, arms_in_tests::unwrap(source));
    }
    for (path, source) in &sources(files)? {
        replace(files, path, selection::remove(source));
    }
    for (path, source) in &sources(files)? {
        let before = originals.iter().find(|(known, _)| known == path);
        replace(
            files,
            path,
            before.and_then(|(_, before)| imports::drop_unused(before, source)),
        );
    }
    Ok(())
}

/// Removes what is behind the feature `baselines`, and the files of modules that it declares.
fn strip_baselines(files: &mut Files) -> Result<()> {
    for (path, source) in &sources(files)? {
        let stripped = baselines::strip(source);
        match stripped.text {
            None => {
                files.remove(path);
            }
            Some(text) => replace(files, path, Some(text)),
        }
        let folder = module_folder(path);
        for module in stripped.modules {
            files.remove(&format!("{folder}/{module}.rs"));
            let below = format!("{folder}/{module}/");
            files.retain(|path, _| !path.starts_with(&below));
        }
    }
    Ok(())
}

/// Where the modules of a file are.
fn module_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "mod.rs" | "main.rs" | "lib.rs" => folder.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    }
}

fn rewrite_comments(files: &mut Files) -> Result<()> {
    let vocabulary = Vocabulary::of_lessons();
    for (path, source) in &sources(files)? {
        replace(files, path, Some(comments::rewrite(source, &vocabulary)));
    }
    for (path, content) in &mut *files {
        if path.ends_with(".sql") {
            let text = String::from_utf8(content.clone()).context("SQL is UTF-8")?;
            *content = comments::rewrite_sql(&text, &vocabulary).into_bytes();
        }
    }
    Ok(())
}

/// The Rust sources, parsed.
fn sources(files: &Files) -> Result<Vec<(String, Source)>> {
    files
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .map(|(path, content)| {
            let text = String::from_utf8(content.clone()).with_context(|| format!("{path} isn't UTF-8"))?;
            Ok((path.clone(), Source::parse(path, text)?))
        })
        .collect()
}

fn replace(files: &mut Files, path: &str, text: Option<String>) {
    if let Some(text) = text
        && let Some(content) = files.get_mut(path)
    {
        *content = text.into_bytes();
    }
}

/// Writes a file, which may be executed if ours may.
fn write(root: &Path, directory: &Path, path: &str, content: &[u8]) -> Result<()> {
    let target = directory.join(path);
    let parent = target.parent().unwrap_or(directory);
    std::fs::create_dir_all(parent).with_context(|| format!("can't create {}", parent.display()))?;
    std::fs::write(&target, content).with_context(|| format!("can't write {}", target.display()))?;
    if let Ok(original) = std::fs::metadata(root.join(path)) {
        std::fs::set_permissions(&target, original.permissions())?;
    }
    Ok(())
}

/// Formats the sources, and drops from the lock file what nothing needs any more.
fn format(directory: &Path) -> Result<()> {
    let commands: [&[&str]; 2] = [
        &["fmt", "--all"],
        &["metadata", "--offline", "--format-version", "1"],
    ];
    for arguments in commands {
        let output = Command::new("cargo")
            .args(arguments)
            .current_dir(directory)
            .env_remove("CARGO_MANIFEST_DIR")
            .output()
            .context("cargo can't be started")?;
        ensure!(
            output.status.success(),
            "`cargo {}` failed in {}: {}",
            arguments.join(" "),
            directory.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_fits_no_variable_is_refused() {
        for name in [
            "",
            "a",
            "Acme",
            "1shop",
            "my-shop",
            "my_shop",
            "a23456789012345678901",
        ] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains("for example `acme`"), "{name}: {error}");
        }
        assert!(check_name("acme2").is_ok());
    }
}
