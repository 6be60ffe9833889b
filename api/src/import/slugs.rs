//! Slugs of brands and categories: `Rosé & Fils` becomes `rose-fils`.

use std::collections::HashSet;

/// The bound of the column, in characters. A slug is ASCII, so bytes are characters.
const SLUG_CHARS_MAX: usize = 255;

/// Lower-case ASCII letters and digits, separated by single dashes. Latin letters lose their accents; other scripts
/// are dropped, so the slug may be empty.
pub(super) fn slugify(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if let Some(letters) = without_accent(character) {
            slug.push_str(letters);
        } else if matches!(character, '\'' | '’') {
            // Levi's is levis.
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(SLUG_CHARS_MAX);
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// The slug of `name`, with the lowest number that makes it unique among `taken`. A name with an empty slug gets
/// `fallback`.
pub(super) fn free_slug(name: &str, fallback: &str, taken: &HashSet<String>) -> String {
    let mut slug = slugify(name);
    if slug.is_empty() {
        fallback.clone_into(&mut slug);
    }
    if !taken.contains(&slug) {
        return slug;
    }
    (2_u64..)
        .map(|number| {
            let suffix = format!("-{number}");
            let stem = &slug[..slug.len().min(SLUG_CHARS_MAX - suffix.len())];
            format!("{}{suffix}", stem.trim_end_matches('-'))
        })
        .find(|candidate| !taken.contains(candidate))
        .expect("fewer slugs are taken than there are numbers")
}

/// Latin letters with diacritics, as western and central European names need them.
fn without_accent(character: char) -> Option<&'static str> {
    let lower = character.to_lowercase().next().unwrap_or(character);
    Some(match lower {
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'ä' | 'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ĩ' | 'ī' | 'į' | 'ı' => "i",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'ö' | 'œ' => "oe",
        'ŕ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ť' | 'ţ' | 'ț' => "t",
        'þ' => "th",
        'ù' | 'ú' | 'û' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ü' => "ue",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_become_plain_addresses() {
        for (name, slug) in [
            ("partners-demo", "partners-demo"),
            ("Rosé & Fils", "rose-fils"),
            ("  Levi's®  ", "levis"),
            ("GRÜN/Weiß", "gruen-weiss"),
            ("Škoda", "skoda"),
            ("日本", ""),
            ("100% Wool", "100-wool"),
        ] {
            assert_eq!(slugify(name), slug, "{name}");
        }
    }

    #[test]
    fn a_taken_slug_gets_the_next_number_and_a_nameless_one_the_fallback() {
        let taken = HashSet::from(["shirts".to_owned(), "shirts-2".to_owned()]);
        assert_eq!(free_slug("Shirts", "category", &taken), "shirts-3");
        assert_eq!(free_slug("日本", "brand", &taken), "brand");
        let long = "a".repeat(300);
        let taken = HashSet::from(["a".repeat(255)]);
        assert_eq!(
            free_slug(&long, "brand", &taken),
            format!("{}-2", "a".repeat(253))
        );
    }

    proptest! {
        #[test]
        fn a_slug_is_plain_bounded_and_its_own_slug(name in "\\PC{0,300}") {
            let slug = slugify(&name);
            prop_assert!(slug.len() <= SLUG_CHARS_MAX);
            prop_assert!(slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert!(!slug.starts_with('-') && !slug.ends_with('-') && !slug.contains("--"));
            prop_assert_eq!(slugify(&slug), slug);
        }

        #[test]
        fn a_free_slug_is_not_taken(name in "[a-b ]{0,2}", taken in prop::collection::hash_set("[a-b]{1,2}(-[2-4])?", 0..30)) {
            let slug = free_slug(&name, "brand", &taken);
            prop_assert!(!slug.is_empty() && !taken.contains(&slug));
        }
    }
}
