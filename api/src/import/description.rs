//! Sanitizes descriptions, which are untrusted HTML.

/// The bound of the column.
const DESCRIPTION_CHARS_MAX: usize = 65_536;
/// The longest text that is parsed. Sanitizing shrinks what word processors paste, so it is longer than the column's
/// bound.
const RAW_BYTES_MAX: usize = 4 * DESCRIPTION_CHARS_MAX;

/// Parsing time is quadratic in the nesting depth, so a text with more tags isn't parsed.
const TAGS_MAX: usize = 5_000;

/// Sanitized HTML, with only safe tags and attributes. Plain text is unchanged.
///
/// # Errors
/// Why the text is rejected; the message continues the column's name.
pub(crate) fn clean(body: &str) -> Result<String, String> {
    let too_long = || format!("is longer than {DESCRIPTION_CHARS_MAX} characters");
    if body.len() > RAW_BYTES_MAX {
        return Err(too_long());
    }
    if tags(body) > TAGS_MAX {
        return Err(format!("has more than {TAGS_MAX} HTML tags"));
    }
    let cleaned = if tags(body) > 0 {
        ammonia::clean(body)
    } else {
        body.to_owned()
    };
    if cleaned.chars().nth(DESCRIPTION_CHARS_MAX).is_some() {
        return Err(too_long());
    }
    Ok(cleaned)
}

/// Counts what an HTML parser could take for a tag or comment: `<` followed by a letter, `/`, `!` or `?`.
fn tags(text: &str) -> usize {
    let opens =
        |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
    text.split('<').skip(1).filter(|rest| opens(rest)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmful_markup_goes_and_the_rest_stays() {
        assert_eq!(
            clean("<p onclick=\"x()\">Soft &amp; <b>warm</b></p>\n<script>alert(1)</script>").unwrap(),
            "<p>Soft &amp; <b>warm</b></p>\n"
        );
        assert_eq!(
            clean("<a href=\"javascript:x()\">here</a>").unwrap(),
            "<a rel=\"noopener noreferrer\">here</a>"
        );
        assert_eq!(clean("<img src=x onerror=alert(1)>").unwrap(), "<img src=\"x\">");
    }

    #[test]
    fn plain_text_is_kept_to_the_letter() {
        for text in [
            "",
            "Salt & pepper, 5 < 6 > 4",
            "a <3 b",
            "line\nbreak \"quoted\"",
            "ends in <",
        ] {
            assert_eq!(clean(text).unwrap(), text);
        }
    }

    #[test]
    fn the_limit_applies_to_the_sanitized_text() {
        let bloated = format!("<p style=\"{}\">x</p>", "a".repeat(DESCRIPTION_CHARS_MAX));
        assert_eq!(clean(&bloated).unwrap(), "<p>x</p>");
        assert!(clean(&"é".repeat(DESCRIPTION_CHARS_MAX)).is_ok());
        assert!(clean(&"é".repeat(DESCRIPTION_CHARS_MAX + 1)).is_err());
        assert!(clean(&format!("<p style=\"{}\">x</p>", "a".repeat(RAW_BYTES_MAX))).is_err());
    }

    #[test]
    fn markup_that_takes_long_to_parse_is_rejected() {
        assert!(clean(&"<div>".repeat(TAGS_MAX)).is_ok());
        assert_eq!(
            clean(&"<b>".repeat(TAGS_MAX + 1)).unwrap_err(),
            "has more than 5000 HTML tags"
        );
    }
}
