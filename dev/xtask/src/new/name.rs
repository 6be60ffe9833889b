//! The placeholders of templates: the name of what is generated, in several spellings.

use anyhow::{Result, ensure};

/// Settings, queues and metrics are named after it, and lists of them must be readable.
const MAX_CHARS: usize = 40;

/// Keywords of Rust, and names that no module can have.
const RESERVED: &str = "abstract as async await become box break const continue crate do dyn else enum extern false \
    final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super \
    trait true try type typeof unsafe unsized use virtual where while yield core std alloc main lib test";

/// Each placeholder with its text.
pub(super) struct Placeholders(Vec<(&'static str, String)>);

impl Placeholders {
    /// `env_prefix` begins the names of all environment variables.
    pub(super) fn new(name: &str, env_prefix: &str) -> Self {
        let words = name.replace('_', " ");
        Self(vec![
            ("__name__", name.to_owned()),
            ("__Name__", name.split('_').map(capitalized).collect()),
            ("__kebab__", name.replace('_', "-")),
            ("__Words__", capitalized(&words)),
            ("__words__", words),
            ("__VARIABLE__", format!("{env_prefix}_{}", name.to_uppercase())),
        ])
    }

    pub(super) fn fill(&self, template: &str) -> String {
        let replace = |text: String, (from, to): &(&str, String)| text.replace(from, to);
        self.0.iter().fold(template.to_owned(), replace)
    }
}

/// Fails with a message that says what to do.
pub(super) fn validate(name: &str) -> Result<()> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    ensure!(
        name.split('_').all(is_word),
        "`{name}` is not snake_case: join words of lowercase letters and digits with `_`, each beginning with a letter, \
         for example wish_lists"
    );
    let length = name.len();
    ensure!(
        length <= MAX_CHARS,
        "`{name}` has {length} characters: use at most {MAX_CHARS}"
    );
    ensure!(
        !RESERVED.split_whitespace().any(|reserved| reserved == name),
        "`{name}` is reserved in Rust: choose another name, for example {name}_list"
    );
    Ok(())
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}
