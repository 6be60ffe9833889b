//! The text of a measured block.
//!
//! Read next: `table.rs`, and `loadtests/src/report/schema.rs`, which declares the report's fields.

use serde_json::Value;

use super::table::{interval, metric, number, table};
use crate::tidy::reports::Run;

pub(super) const NOT_RECORDED: &str = "Not recorded yet.";

/// The text between the markers of a lesson's page, from the newest run that compared the lesson.
pub(super) fn text(name: &str, runs: &[Run]) -> String {
    format!("\n{}\n", paragraphs(name, runs))
}

fn paragraphs(name: &str, runs: &[Run]) -> String {
    let Some((run, lesson)) = runs.iter().find_map(|run| Some((run, run.lesson(name)?))) else {
        return NOT_RECORDED.to_owned();
    };
    let mut paragraphs = Vec::new();
    if let Some(reason) = failure(lesson) {
        paragraphs.push(format!(
            "The comparison is void, and no ratio is printed: {reason}"
        ));
    } else {
        paragraphs.push(table(lesson));
        paragraphs.extend(noise_floor(name, run));
        paragraphs.push(line(&lesson["why"]));
        paragraphs.extend(array(&lesson["notes"]).iter().map(line));
        paragraphs.extend(claims(lesson));
        paragraphs.extend(limit(lesson));
        paragraphs.push(validity(lesson));
    }
    paragraphs.push(provenance(run));
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n\n")
}

fn failure(lesson: &Value) -> Option<String> {
    if let Some(reason) = lesson["failed"].as_str() {
        return Some(reason.to_owned());
    }
    if lesson["signature"]["holds"] != true {
        return Some(format!(
            "the switch does not act; expected {}; observed {}.",
            line(&lesson["signature"]["expected"]),
            line(&lesson["signature"]["observed"])
        ));
    }
    let different = lesson["same_answers"]["different"].as_u64().unwrap_or(0);
    (different > 0).then(|| format!("the arms answered {different} requests differently."))
}

fn noise_floor(lesson: &str, run: &Run) -> Option<String> {
    let of_lesson = |floor: &&Value| floor["lesson"] == lesson;
    let floors: Vec<String> = array(&run.report["noise_floor"])
        .iter()
        .filter(of_lesson)
        .filter_map(|floor| {
            let what = metric(str_of(&floor["metric"]))?.0;
            Some(format!(
                "{what} × {} {}",
                number(floor["ratio"].as_f64()?),
                interval(&floor["ci95"])
            ))
        })
        .collect();
    (!floors.is_empty()).then(|| {
        format!(
            "Noise floor, the optimized arm against itself: {}.",
            floors.join("; ")
        )
    })
}

fn claims(lesson: &Value) -> Vec<String> {
    let checks = array(&lesson["claims"]);
    if checks.is_empty() {
        let text = line(&lesson["claim"]["text"]);
        let verdict = lesson["claim_verdict"].as_str().unwrap_or("not measured");
        return if text.is_empty() {
            Vec::new()
        } else {
            vec![format!("**Claim: {verdict}.** {text}")]
        };
    }
    let claim = |check: &Value| {
        let measured = match check["measured"][0].as_f64() {
            Some(value) => format!("measured × {} ({})", number(value), line(&check["measured_as"])),
            None => "not measured".to_owned(),
        };
        format!(
            "**Claim: {}.** {} Claimed × {}, {measured}. {}",
            check["verdict"].as_str().unwrap_or("not measured"),
            line(&check["claim"]["text"]),
            check["claim"]["ratio"]
                .as_f64()
                .map_or_else(|| "–".to_owned(), number),
            line(&check["reason"])
        )
    };
    checks.iter().map(claim).collect()
}

fn limit(lesson: &Value) -> Option<String> {
    let limit = &lesson["limit"];
    let value = limit["value"].as_f64()?;
    let reached = limit["reached"].as_f64().map_or_else(String::new, |share| {
        format!(
            "; `{}` reaches {:.0} % of it",
            str_of(&lesson["optimized"]),
            share * 100.0
        )
    });
    Some(format!(
        "**Limit.** {}: {} {}{reached}.",
        line(&limit["what"]),
        number(value),
        line(&limit["unit"])
    ))
}

fn validity(lesson: &Value) -> String {
    let same = &lesson["same_answers"];
    format!(
        "**The switch acts**: {}. **Same answers**: {} requests compared, {} different.",
        line(&lesson["signature"]["observed"]).trim_end_matches('.'),
        number(same["compared"].as_f64().unwrap_or(0.0)),
        number(same["different"].as_f64().unwrap_or(0.0)),
    )
}

/// The recorded run and its machine.
fn provenance(run: &Run) -> String {
    let report = &run.report;
    let machine = &report["machine"];
    let stores = [
        ("Postgres", "postgres"),
        ("Redis", "redis"),
        ("RabbitMQ", "rabbitmq"),
    ]
    .into_iter()
    .filter_map(|(name, field)| Some(format!(", {name} {}", machine[field].as_str()?)))
    .collect::<String>();
    format!(
        "Recorded run [report.json](../../{path}): {}, commit `{}`, scale {}, {} mode, on \
         {} × {}, {}, Linux {}{stores}.",
        line(&report["started_at"]),
        line(&report["commit"]),
        line(&report["scale"]),
        line(&report["mode"]),
        machine["cores"],
        line(&machine["cpu"]),
        line(&machine["memory"]),
        line(&machine["kernel"]),
        path = run.path,
    )
}

pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn str_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A text on one line, escaped for a table cell.
pub(super) fn line(value: &Value) -> String {
    str_of(value)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}
