//! The rule on vocabulary: names and words that were replaced by standard terms don't come back.
//!
//! Rust, SQL, Markdown and shell are checked. A word in quotes or backticks is a literal, such as the system user
//! `nobody`, and generated text is checked at its source.

use super::Finding;
use super::files::{Files, TextFile};

/// Files and directories with old names or words. Remove an entry when it is reworded; `tidy` notes when one is obsolete.
const NOT_REWORDED: [&str; 1] = ["loadtests/"];

/// The sentences of generated products and reviews, whose words are data.
const DATA: &str = "dev/dataset/src/corpora/";

/// Landed migrations never change, because the database records their checksums.
const FROZEN: &str = "migrations/2026";

/// Replaced identifiers, each with its successor. They are checked in Rust code only, because some are ordinary words.
const IDENTIFIERS: [(&str, &str); 58] = [
    ("Assembly", "AppBuilder"),
    ("SideConnection", "ControlConnection"),
    ("send_home", "graceful_shutdown"),
    ("let_in", "graceful_shutdown"),
    ("somebodys", "authenticated_routes"),
    ("giving_back", "compensation"),
    ("come_to_nothing", "fail_order"),
    ("patiently", "acquire_with_retry"),
    ("to_its_end", "run_to_completion"),
    ("Begun", "StartOutcome"),
    ("too_dear", "amount_overflow"),
    ("pour", "merge_items"),
    ("hand_over", "assign_to_customer"),
    ("taken_back", "release_attempt"),
    ("one_less", "decrement"),
    ("NOBODYS", "DUMMY_HASH"),
    ("UnderWay", "InFlightGuard or OpenSpan"),
    ("under_way", "in_flight"),
    ("Strictly", "StrictObject"),
    ("MeasuredPool", "InstrumentedPool"),
    ("keep_alive", "supervise"),
    ("lay_aside", "dead_letter"),
    ("Heard", "PendingEvent"),
    ("Bell", "RelayNotifier"),
    ("Repeated", "IdempotencyOutcome"),
    ("KnownKey", "StoredKey"),
    ("Conduct", "FaultConfig"),
    ("Party", "SimulatedService"),
    ("Fate", "Outcome"),
    ("Remembered", "a snapshot"),
    ("Letter", "ParsedMail"),
    ("guardian", "watchdog"),
    ("with_own_servers", "with_isolated_servers"),
    ("Place", "DataDirs or EnvironmentDeps"),
    ("Side", "LocalShop"),
    ("Children", "Processes"),
    ("announcement", "banner"),
    ("Town", "ShopEnvironment"),
    ("Stand", "ArmDeployment"),
    ("Ground", "LabContext"),
    ("Bench", "RunContext"),
    ("FastAndSlow", "MixedWorkload"),
    ("Books", "InvariantCheck"),
    ("Tap", "EventProbe"),
    ("Keeper", "ChildProcess"),
    ("Desk", "DispatchQueue"),
    ("clerk", "dispatcher"),
    ("Walk", "RequestSequence"),
    ("Dice", "Rng"),
    ("Rivalry", "paired_run"),
    ("being_watched", "telemetry_overhead"),
    ("Facts", "DatasetStats"),
    ("suitable", "prerequisites"),
    ("waived", "skipped"),
    ("mend", "restore"),
    ("rush", "flash_sale"),
    ("examine", "verify"),
    ("skeleton", "report_builder"),
];

/// Words and phrases, each with a replacement. The case doesn't matter, and `_` separates words.
const WORDS: [(&str, &str); 17] = [
    ("nobody", "name the actor: no client, no worker"),
    ("somebody", "name the actor: a client, a worker"),
    ("anybody", "name the actor: any client, any worker"),
    ("whoever", "name the actor: the client that …"),
    ("oftener", "more often"),
    ("anew", "again"),
    ("in vain", "without success, or a failed attempt"),
    ("besides", "also, or apart from"),
    ("dear", "expensive"),
    ("let in", "accepted"),
    ("lets in", "accepts"),
    ("sent home", "disconnected"),
    ("is told", "a technical verb: is notified, is sent"),
    ("are told", "a technical verb: are notified, are sent"),
    ("was told", "a technical verb: was notified, was sent"),
    ("is said", "a technical verb: is published, is reported"),
    ("are said", "a technical verb: are published, are reported"),
];

pub(crate) fn check(files: &Files) -> Vec<Finding> {
    let checked = files.all.iter().filter(|file| exemption(&file.path).is_none());
    checked.flat_map(findings).collect()
}

/// Entries of [`NOT_REWORDED`] that can be removed.
pub(crate) fn obsolete_exemptions(files: &Files) -> Vec<String> {
    let is_obsolete = |entry: &&&str| {
        let mut covered = files
            .all
            .iter()
            .filter(|file| exemption(&file.path) == Some(**entry));
        covered.all(|file| findings(file).is_empty())
    };
    let obsolete = NOT_REWORDED.iter().filter(is_obsolete);
    obsolete
        .map(|entry| format!("{entry} has no old names or words: remove it from NOT_REWORDED"))
        .collect()
}

fn exemption(path: &str) -> Option<&'static str> {
    let mut entries = NOT_REWORDED.iter().chain([&DATA, &FROZEN]).copied();
    entries.find(|entry| path.starts_with(entry))
}

fn findings(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !is_checked(file) {
        return findings;
    }
    let mut is_generated = false;
    for (number, line) in file.lines() {
        if file.path.ends_with(".md") && line.trim().starts_with("<!-- ") {
            is_generated = (is_generated || line.contains(":begin -->")) && !line.contains(":end -->");
        }
        if is_generated {
            continue;
        }
        let code = if file.path.ends_with(".rs") {
            code(line)
        } else {
            String::new()
        };
        let names = IDENTIFIERS.iter().filter(|(name, _)| has_name(&code, name));
        let lowercase = line.to_lowercase();
        let words = WORDS.iter().filter(|(word, _)| has_word(&lowercase, word));
        for (old, new) in names.chain(words) {
            findings.push(Finding::new(
                &file.path,
                number,
                format!("`{old}` was replaced: {new}"),
            ));
        }
    }
    findings
}

fn is_checked(file: &TextFile) -> bool {
    let is_script = || {
        let first = file.text.lines().next().unwrap_or_default();
        first.starts_with("#!") && first.ends_with("sh")
    };
    [".rs", ".sql", ".md", ".sh"]
        .iter()
        .any(|extension| file.path.ends_with(extension))
        || is_script()
}

/// The line without comments and string literals.
fn code(line: &str) -> String {
    let code = line.split("//").next().unwrap_or_default();
    code.split('"').step_by(2).collect::<Vec<_>>().join(" ")
}

fn has_name(line: &str, name: &str) -> bool {
    occurs(line, name, |c| c.is_alphanumeric() || c == '_')
}

/// `_` separates words, but it is no space: a phrase never occurs in a name.
fn has_word(line: &str, word: &str) -> bool {
    let is_phrase = word.contains(' ');
    occurs(line, word, |c| c.is_alphanumeric() || (is_phrase && c == '_'))
}

/// Whether the text occurs between boundaries, and not in a literal: a single name in quotes or backticks.
fn occurs(line: &str, text: &str, is_word: impl Fn(char) -> bool) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(text).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + text.len()..]);
        let is_part = before.ends_with(&is_word) || after.starts_with(&is_word);
        let opening = before.trim_end_matches(is_name).chars().next_back();
        let closing = after.trim_start_matches(is_name).chars().next();
        let is_literal = opening == closing && matches!(opening, Some('"' | '`'));
        !is_part && !is_literal
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let findings = check(&Files { all: vec![file] });
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_replaced_identifier_is_found_as_a_whole_word_in_code() {
        let text = "use x::Party;\nstruct PartyHat; // Party\nlet third_Party = \"Party\";\n";
        assert_eq!(
            found("xtask/a.rs", text),
            ["xtask/a.rs:1: `Party` was replaced: SimulatedService"]
        );
    }

    #[test]
    fn a_word_is_found_in_any_case_and_in_names_but_not_within_a_word() {
        let text = concat!("Nobo", "dy waits.\nfn no_one_tells_nobo", "dy() {}\nnearness\n");
        assert_eq!(found("docs/a.md", text).len(), 2);
        assert_eq!(found("docs/a.md", "an endearing word\n"), [""; 0]);
    }

    #[test]
    fn a_literal_and_generated_text_are_ignored() {
        let generated = concat!("<!-- x:begin -->\nnobo", "dy\n<!-- x:end -->\n");
        assert_eq!(found("docs/a.md", generated), [""; 0]);
        assert_eq!(found("docs/a.md", "The user `nobody` exists.\n"), [""; 0]);
        assert_eq!(found("dev/a.rs", r#"code: "cart_too_dear""#), [""; 0]);
        let after = concat!("<!-- x:begin -->\n<!-- x:end -->\nnobo", "dy\n");
        assert_eq!(found("docs/a.md", after).len(), 1);
    }

    #[test]
    fn scripts_are_checked_and_other_formats_are_not() {
        let text = concat!("#!/bin/sh\n# for whoe", "ver runs it\n");
        assert_eq!(found("run", text).len(), 1);
        let without_shebang = concat!("# for whoe", "ver runs it\n");
        assert_eq!(found("a.yml", without_shebang), [""; 0]);
    }

    #[test]
    fn frozen_migrations_and_exempt_directories_are_ignored() {
        let text = concat!("-- ane", "w\n");
        assert_eq!(found("migrations/20261101000001_catalog.sql", text), [""; 0]);
        assert_eq!(found("loadtests/a.sql", text), [""; 0]);
        assert_eq!(found("dev/a.sql", text).len(), 1);
    }
}
