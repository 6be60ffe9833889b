//! A statement's summary in two words, for metrics and traces: the full text would be too long,
//! and its set unbounded.
//!
//! As OpenTelemetry's `db.query.summary`
//! (<https://opentelemetry.io/docs/specs/semconv/database/database-spans/#generating-a-summary-of-the-query>):
//! the operation and its first target. Computed once per text.

/// For example `select products`. A statement that writes is named by its first write, even within a `with`;
/// a query by the table of its outermost `from`.
pub fn summary(sql: &str) -> String {
    let words = words(sql);
    change(&words)
        .or_else(|| query(&words))
        .unwrap_or_else(|| words.first().map_or_else(String::new, |word| word.text.clone()))
}

struct Word {
    text: String,
    /// The number of open parentheses around it.
    depth: usize,
    /// Whether a parenthesis opens directly after it.
    opens: bool,
}

/// Keywords and names in lower case, without string literals and comments.
fn words(sql: &str) -> Vec<Word> {
    let (mut words, mut depth, mut word) = (Vec::new(), 0_usize, String::new());
    let mut in_quotes = false;
    for line in sql.lines() {
        let line = line.split_once("--").map_or(line, |(code, _)| code);
        for character in line.chars().chain([' ']) {
            let is_of_word = !in_quotes && (character.is_ascii_alphanumeric() || "_.".contains(character));
            if is_of_word {
                word.push(character.to_ascii_lowercase());
                continue;
            }
            if !word.is_empty() {
                let text = std::mem::take(&mut word);
                words.push(Word {
                    text,
                    depth,
                    opens: false,
                });
            }
            match character {
                '\'' => in_quotes = !in_quotes,
                '(' if !in_quotes => {
                    if let Some(last) = words.last_mut() {
                        last.opens = true;
                    }
                    depth += 1;
                }
                ')' if !in_quotes => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    words
}

fn change(words: &[Word]) -> Option<String> {
    let at = |index: usize| words.get(index).map_or("", |word| word.text.as_str());
    (0..words.len()).find_map(|index| {
        let before = index.checked_sub(1).map_or("", at);
        match (at(index), at(index + 1)) {
            ("insert", "into") => Some(format!("insert {}", at(index + 2))),
            ("delete", "from") => Some(format!("delete {}", at(index + 2))),
            // `for update` locks, `do update` belongs to an insert.
            ("update", table) if !["for", "do", "key"].contains(&before) => Some(format!("update {table}")),
            _ => None,
        }
    })
}

fn query(words: &[Word]) -> Option<String> {
    let is_name_of_with = |name: &str| {
        words
            .windows(2)
            .any(|pair| pair[0].text == name && pair[1].text == "as" && pair[1].opens)
    };
    words
        .windows(2)
        .filter(|pair| pair[0].text == "from" && pair[0].depth == pair[1].depth)
        .filter(|pair| !is_name_of_with(&pair[1].text))
        .min_by_key(|pair| pair[0].depth)
        .map(|pair| format!("select {}", pair[1].text))
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn a_query_is_named_by_its_outermost_table() {
        assert_eq!(summary("select 1"), "select");
        assert_eq!(
            summary("select id from products p where slug = $1"),
            "select products"
        );
        assert_eq!(
            summary("select (select name from brands where id = p.brand_id) -- the brand\n from products p"),
            "select products"
        );
        assert_eq!(
            summary(
                "with page as (select * from products limit 20) select * from page join brands b on true"
            ),
            "select products"
        );
        assert_eq!(
            summary("select 'from nowhere' from carts as c for update"),
            "select carts"
        );
    }

    #[test]
    fn a_statement_that_writes_is_named_by_its_first_write() {
        assert_eq!(
            summary("INSERT INTO carts (id) values ($1) on conflict (id) do update set id = $1"),
            "insert carts"
        );
        assert_eq!(
            summary("delete from cart_items where cart_id = $1"),
            "delete cart_items"
        );
        assert_eq!(
            summary(
                "with paid as (update orders set status = 'paid' returning id) select count(*) from paid"
            ),
            "update orders"
        );
        assert_eq!(summary("begin"), "begin");
    }
}
