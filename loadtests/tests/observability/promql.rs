//! What an expression of PromQL asks for: its metrics, how it selects among them, and the labels that it groups by.
//!
//! This is no parser: `promtool` checks the grammar (`deploy/prometheus/check`). It only has to tell a metric from everything
//! else that looks like a word, and when it errs, it takes something for a metric that nobody exports, which is found.

use std::collections::BTreeSet;

/// What stands before labels in parentheses.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Words that are neither metrics nor functions.
const KEYWORDS: [&str; 7] = ["and", "or", "unless", "bool", "offset", "inf", "nan"];

/// What an expression asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub selectors: Vec<Selector>,
    /// In `by (…)`, `on (…)` and their like.
    pub grouped_by: BTreeSet<String>,
}

/// A metric, and which of its series.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
}

/// For example `status=~"4xx|5xx"`.
#[derive(Debug, PartialEq, Eq)]
pub struct Matcher {
    pub label: String,
    pub is_regex: bool,
    pub is_negated: bool,
    pub value: String,
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(&'static str),
}

/// Reads an expression.
///
/// # Errors
/// When it isn't understood.
pub fn read(expression: &str) -> Result<Asked, String> {
    let mut tokens = tokens(expression)?.into_iter().peekable();
    let mut asked = Asked::default();
    while let Some(token) = tokens.next() {
        let word = match token {
            Token::Word(word) => word,
            Token::Sign("{") => return Err(format!("a selector without a metric in `{expression}`")),
            Token::Text(_) | Token::Sign(_) => continue,
        };
        let opens = tokens.peek() == Some(&Token::Sign("("));
        let modified = matches!(tokens.peek(), Some(Token::Word(next)) if next == "by" || next == "without");
        if GROUPINGS.contains(&word.as_str()) {
            if opens {
                let labels = tokens.by_ref().take_while(|token| *token != Token::Sign(")"));
                asked.grouped_by.extend(labels.filter_map(|token| match token {
                    Token::Word(label) => Some(label),
                    Token::Text(_) | Token::Sign(_) => None,
                }));
            }
        } else if !(opens || modified || KEYWORDS.contains(&word.as_str())) {
            let mut matchers = Vec::new();
            if tokens.peek() == Some(&Token::Sign("{")) {
                let inside = tokens
                    .by_ref()
                    .skip(1)
                    .take_while(|token| *token != Token::Sign("}"));
                matchers = read_matchers(&inside.collect::<Vec<_>>())
                    .ok_or_else(|| format!("strange matchers in `{expression}`"))?;
            }
            asked.selectors.push(Selector {
                metric: word,
                matchers,
            });
        }
    }
    Ok(asked)
}

fn read_matchers(inside: &[Token]) -> Option<Vec<Matcher>> {
    inside
        .split(|token| *token == Token::Sign(","))
        .filter(|matcher| !matcher.is_empty())
        .map(|matcher| match matcher {
            [Token::Word(label), Token::Sign(operator), Token::Text(value)] => Some(Matcher {
                label: label.clone(),
                is_regex: operator.ends_with('~'),
                is_negated: operator.starts_with('!'),
                value: value.clone(),
            }),
            _ => None,
        })
        .collect()
}

const SIGNS: [&str; 22] = [
    "=~", "!~", "!=", "==", ">=", "<=", "=", ">", "<", "(", ")", "{", "}", ",", "+", "-", "*", "/", "%", "^",
    "@", ":",
];

fn tokens(expression: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_alphabetic() || first == '_' {
            let length = length_of(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
            tokens.push(Token::Word(rest[..length].to_owned()));
            length
        } else if first.is_ascii_digit() || first == '.' {
            // A number or a duration.
            length_of(rest, |c| c.is_ascii_alphanumeric() || c == '.')
        } else if first == '"' {
            let (text, length) =
                quoted(rest).ok_or_else(|| format!("a text without an end in `{expression}`"))?;
            tokens.push(Token::Text(text));
            length
        } else if first == '[' {
            // A range holds no metric.
            rest.find(']')
                .ok_or_else(|| format!("a range without an end in `{expression}`"))?
                + 1
        } else if first == '#' {
            length_of(rest, |c| c != '\n')
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("`{first}` is not understood in `{expression}`"))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn length_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// The text between double quotes, without its escapes, and how long it was with them.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut plain = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((plain, at + 1)),
            '\\' => plain.push(characters.next()?.1),
            other => plain.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(expression: &str) -> Vec<String> {
        let asked = read(expression).unwrap();
        asked
            .selectors
            .into_iter()
            .map(|selector| selector.metric)
            .collect()
    }

    #[test]
    fn metrics_are_told_from_functions_keywords_labels_and_numbers() {
        let expression = "histogram_quantile(0.95, sum by (shop, le) (rate(wait_seconds_bucket{job=\"api\"}[$__rate_interval])))\n\
            / on (shop) group_left () (level:metric:rate1m > bool 1e3) # by nobody(here)\n\
            and count(up == 1) or sum(a offset 5m) without (instance) unless -b ^ 2";
        assert_eq!(
            metrics(expression),
            ["wait_seconds_bucket", "level:metric:rate1m", "up", "a", "b"]
        );
        let labels = read(expression).unwrap().grouped_by;
        assert_eq!(labels.into_iter().collect::<Vec<_>>(), ["instance", "le", "shop"]);
    }

    #[test]
    fn matchers_are_read_without_their_escapes() {
        let asked = read(r#"queue_messages{queue!~".+\\.dead", shop="a \"b\"",}"#).unwrap();
        let matcher = |label: &str, is_regex, value: &str| Matcher {
            label: label.to_owned(),
            is_regex,
            is_negated: is_regex,
            value: value.to_owned(),
        };
        let expected = [
            matcher("queue", true, r".+\.dead"),
            matcher("shop", false, "a \"b\""),
        ];
        assert_eq!(asked.selectors[0].matchers, expected);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for expression in ["{job=\"api\"}", "a{b}", "a[5m", "a{b=\"c", "a ? b"] {
            assert!(read(expression).is_err(), "{expression}");
        }
    }
}
