//! Descriptions: HTML written by strangers, made harmless.

/// The schema's bound.
pub(super) const DESCRIPTION_CHARS_MAX: usize = 65_536;
/// Up to here a text is worth cleaning: what word processors paste shrinks a lot. Longer ones aren't parsed at all.
const RAW_BYTES_MAX: usize = 4 * DESCRIPTION_CHARS_MAX;

/// The text with only harmless tags and attributes left, or `None` when it is too long. Plain text stays as it is.
pub(super) fn clean(body: &str) -> Option<String> {
    if body.len() > RAW_BYTES_MAX {
        return None;
    }
    let cleaned = if may_open_tag(body) {
        ammonia::clean(body)
    } else {
        body.to_owned()
    };
    cleaned
        .chars()
        .nth(DESCRIPTION_CHARS_MAX)
        .is_none()
        .then_some(cleaned)
}

/// Whether an HTML parser could see a tag or a comment: after `<` it does so only at a letter, `/`, `!` or `?`.
fn may_open_tag(text: &str) -> bool {
    text.split('<')
        .skip(1)
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')))
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
    fn the_length_that_counts_is_that_of_what_is_kept() {
        let bloated = format!("<p style=\"{}\">x</p>", "a".repeat(DESCRIPTION_CHARS_MAX));
        assert_eq!(clean(&bloated).unwrap(), "<p>x</p>");
        assert!(clean(&"é".repeat(DESCRIPTION_CHARS_MAX)).is_some());
        assert!(clean(&"é".repeat(DESCRIPTION_CHARS_MAX + 1)).is_none());
        assert!(clean(&format!("<p style=\"{}\">x</p>", "a".repeat(RAW_BYTES_MAX))).is_none());
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_hangs() {
        let deep = "<div>".repeat(RAW_BYTES_MAX / 5 - 1);
        assert!(clean(&deep).is_none_or(|cleaned| cleaned.contains("<div>")));
    }
}
