//! Names of brands, and of the people who buy and write reviews.

word_lists! {
    "names.txt":
    /// First words of brand names; with [`BRAND_ENDINGS`] they make 4 000.
    pub BRAND_ROOTS = "brand roots";
    /// Last words of brand names.
    pub BRAND_ENDINGS = "brand endings";
    /// First names of people.
    pub FIRST_NAMES = "first names";
    /// Last names of people.
    pub LAST_NAMES = "last names";
    /// Countries that things are made in.
    pub COUNTRIES = "countries";
}

/// The plural of a kind of thing, as the name of its category.
pub fn plural(noun: &str) -> String {
    let ends = |endings: &[&str]| endings.iter().any(|ending| noun.ends_with(ending));
    if ends(&["s"]) {
        noun.to_owned()
    } else if ends(&["ch", "sh", "x"]) {
        format!("{noun}es")
    } else if ends(&["ly", "ry", "dy"]) {
        format!("{}ies", &noun[..noun.len() - 1])
    } else {
        format!("{noun}s")
    }
}

/// The form of a name in addresses: "Shoes & Bags" becomes "shoes-bags".
pub fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len() + 8);
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}
