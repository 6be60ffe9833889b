//! Unwraps tests that run for each arm: `each_arm("stock", async || { … }).await` becomes its body.

use super::tokens::{Edits, Source};

/// The functions whose last argument is the test.
const RUNNERS: [&str; 2] = ["each_arm", "every_arm"];

pub(super) fn unwrap(source: &Source) -> Option<String> {
    let mut edits = Edits::default();
    for at in 0..source.tokens.len() {
        let name = source.text_at(at);
        if !RUNNERS.contains(&name) || source.text_at(at + 1) != "(" {
            continue;
        }
        let Some(close) = source.close_of(at + 1) else {
            continue;
        };
        let Some(body) = (at + 2..close).find(|open| source.text_at(*open) == "{") else {
            continue;
        };
        let body_close = source.close_of(body).expect("braces are paired");
        // `.await;`
        let mut last = close;
        while matches!(source.text_at(last + 1), "." | "await" | ";") {
            last += 1;
        }
        edits.remove(source.tokens[at].range.start..source.tokens[body].range.end);
        edits.remove(source.tokens[body_close].range.start..source.tokens[last].range.end);
    }
    (!edits.is_empty()).then(|| edits.apply(&source.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_left() {
        let text = "async fn t() {\n    each_arm(\"stock\", async || {\n        let a = f().await;\n        g(a);\n    })\n    .await;\n}\n";
        let source = Source::parse("t", text.to_owned()).unwrap();
        let words: String = unwrap(&source).unwrap().split_whitespace().collect();
        assert_eq!(words, "asyncfnt(){leta=f().await;g(a);}");
    }
}
