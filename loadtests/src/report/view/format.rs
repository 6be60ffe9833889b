//! Numbers as readers read them: three significant digits, thousands apart.

use serde_json::Value;

/// Three significant digits, thousands apart by a narrow space.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let magnitude = value.abs();
    let text = match magnitude {
        0.0 => "0".to_owned(),
        m if m >= 99.95 => thousands(value),
        m if m >= 9.995 => format!("{value:.1}"),
        m if m >= 0.9995 => format!("{value:.2}"),
        m if m >= 0.0995 => format!("{value:.3}"),
        m if m >= 0.000_5 => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    };
    without_trailing_zeros(text)
}

fn without_trailing_zeros(text: String) -> String {
    if !text.contains('.') || text.contains('e') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    if value < 0.0 {
        text.push('-');
    }
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A quantity that may not have been measured.
pub fn measured(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), number)
}

/// `× 12.3`, or `× 0.42` where the arm is worse.
pub fn times(value: f64) -> String {
    format!("×\u{202f}{}", number(value))
}

/// `12.1 … 12.6`
pub fn interval(ci95: [f64; 2]) -> String {
    format!("{} … {}", number(ci95[0]), number(ci95[1]))
}

/// A parameter or an outcome, whatever its JSON type.
pub fn value(value: &Value) -> String {
    match value {
        Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), number),
        Value::String(text) => text.clone(),
        Value::Null => "–".into(),
        other => other.to_string(),
    }
}

/// A name from JSON as words: `offered_rps` is `offered rps`.
pub fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// A text as HTML: escaped, and what stands between backticks as code.
pub fn html(text: &str) -> String {
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let mut html = String::with_capacity(escaped.len() + 32);
    for (position, part) in escaped.split('`').enumerate() {
        match position % 2 {
            0 => html.push_str(part),
            _ => html.extend(["<code>", part, "</code>"]),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_no_false_precision() {
        let shown: Vec<String> = [0.0, 0.0621, 0.5, 1.0, 12.34, 99.97, 726.4, 14_000.0, 1_234_567.0]
            .into_iter()
            .map(number)
            .collect();
        assert_eq!(
            shown,
            [
                "0",
                "0.0621",
                "0.5",
                "1",
                "12.3",
                "100",
                "726",
                "14\u{202f}000",
                "1\u{202f}234\u{202f}567"
            ]
        );
        assert_eq!(measured(None), "–");
    }

    #[test]
    fn texts_are_escaped_and_code_is_marked() {
        assert_eq!(html("`a < b` & c"), "<code>a &lt; b</code> &amp; c");
    }
}
