//! What Postgres makes of words, and the search documents of texts that consist of them.
//!
//! Postgres reads a text from the left, and a blank ends whatever it was reading: so the lexemes of a text are those of what
//! stands between blanks, each behind the positions that the words before took, stop words included
//! (<https://www.postgresql.org/docs/current/textsearch-controls.html>). The document of a product is that of its title
//! with weight A, and behind its last lexeme that of the description, with weight D.
//!
//! The binary format of a `tsvector` is that of `tsvectorsend`: the number of lexemes, then each with a zero byte behind
//! it, the number of its positions, and these, of 16 bits, the weight in the upper two.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// Stands behind each word that is asked for; its position tells how many the word took. A word of no text.
const END: &str = "zzq";

/// A in the upper two bits of a position. D is 0.
const WEIGHT_A: u16 = 3 << 14;

/// The largest position that Postgres keeps; what is beyond it counts as it.
const MAX_POSITION: u16 = (1 << 14) - 1;

/// All words that were asked for so far.
#[derive(Debug, Default)]
pub struct Words {
    known: HashMap<Box<str>, Word>,
    lexemes: Vec<Box<str>>,
    ids: HashMap<Box<str>, usize>,
}

#[derive(Debug)]
struct Word {
    /// By their numbers in `lexemes`, with their positions, from 1 on.
    lexemes: Vec<(usize, u16)>,
    /// How many it takes.
    positions: u16,
}

impl Words {
    /// Asks for the words of these texts that are new.
    pub async fn learn<'t>(
        &mut self,
        connection: &mut PgConnection,
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<()> {
        let mut new: Vec<&str> = texts
            .flat_map(str::split_ascii_whitespace)
            .filter(|word| !self.known.contains_key(*word))
            .collect();
        new.sort_unstable();
        new.dedup();
        if new.is_empty() {
            return Ok(());
        }
        let documents = sqlx::query(
            "select to_tsvector('pg_catalog.english', word || ' ' || $2) from unnest($1::text[]) with ordinality as t (word, place) order by place",
        )
        .bind(&new)
        .bind(END)
        .fetch_all(connection)
        .await?;
        for (word, row) in new.into_iter().zip(&documents) {
            let read = self.read(bytes_of(row)?);
            let read = read.with_context(|| format!("what Postgres makes of `{word}` can't be used"))?;
            self.known.insert(word.into(), read);
        }
        Ok(())
    }

    fn read(&mut self, document: &[u8]) -> Result<Word> {
        let mut word = Word {
            lexemes: Vec::new(),
            positions: 0,
        };
        let mut has_end = false;
        for (lexeme, positions) in lexemes_of(document)? {
            if lexeme == END {
                let [end] = positions[..] else {
                    anyhow::bail!("it contains `{END}`");
                };
                word.positions = end - 1;
                has_end = true;
                continue;
            }
            let id = *self.ids.entry(lexeme.into()).or_insert_with(|| {
                self.lexemes.push(lexeme.into());
                self.lexemes.len() - 1
            });
            word.lexemes
                .extend(positions.into_iter().map(|position| (id, position)));
        }
        ensure!(has_end, "`{END}` is missing");
        Ok(word)
    }

    /// The search document of a product, in the binary format. All words must have been learned.
    pub fn document(&self, title: &str, description: &str) -> Result<Vec<u8>> {
        let mut lexemes: Vec<(usize, u16)> = Vec::with_capacity(256);
        self.add(title, 0, WEIGHT_A, &mut lexemes)?;
        let behind_title = lexemes
            .iter()
            .map(|(_, position)| position & MAX_POSITION)
            .max()
            .unwrap_or(0);
        self.add(description, behind_title, 0, &mut lexemes)?;
        // By bytes, as Postgres keeps them; it would have to sort them otherwise.
        lexemes.sort_unstable_by(|(one, of_one), (other, of_other)| {
            let by_lexeme = match one == other {
                true => std::cmp::Ordering::Equal,
                false => self.lexemes[*one].as_bytes().cmp(self.lexemes[*other].as_bytes()),
            };
            by_lexeme.then_with(|| (of_one & MAX_POSITION).cmp(&(of_other & MAX_POSITION)))
        });
        lexemes.dedup();
        let groups = || lexemes.chunk_by(|one, other| one.0 == other.0);
        let count = |number: usize| u16::try_from(number).expect("a text has fewer positions than that");
        let mut bytes = Vec::with_capacity(1_600);
        bytes.extend(u32::from(count(groups().count())).to_be_bytes());
        for positions in groups() {
            bytes.extend(self.lexemes[positions[0].0].as_bytes());
            bytes.push(0);
            bytes.extend(count(positions.len()).to_be_bytes());
            for (_, position) in positions {
                bytes.extend(position.to_be_bytes());
            }
        }
        Ok(bytes)
    }

    fn add(&self, text: &str, behind: u16, weight: u16, lexemes: &mut Vec<(usize, u16)>) -> Result<()> {
        let mut behind = behind;
        for word in text.split_ascii_whitespace() {
            let word = self.known.get(word).context("a word was not learned")?;
            for (lexeme, position) in &word.lexemes {
                lexemes.push((*lexeme, weight | (behind + position).min(MAX_POSITION)));
            }
            behind = behind.saturating_add(word.positions).min(MAX_POSITION);
        }
        Ok(())
    }
}

/// The search document of a product as the schema says, in the binary format.
pub async fn document_of_schema(
    connection: &mut PgConnection,
    title: &str,
    description: &str,
) -> Result<Vec<u8>> {
    let row = sqlx::query("select product_search_document($1, $2)")
        .bind(title)
        .bind(description)
        .fetch_one(connection)
        .await?;
    Ok(bytes_of(&row)?.to_vec())
}

/// A prepared statement answers in the binary format.
fn bytes_of(row: &PgRow) -> Result<&[u8]> {
    row.try_get_raw(0)?.as_bytes().map_err(anyhow::Error::from_boxed)
}

/// Lexemes with their positions.
fn lexemes_of(document: &[u8]) -> Result<Vec<(&str, Vec<u16>)>> {
    let mut rest = document;
    let count = u32::from_be_bytes(*take(&mut rest)?);
    let mut lexemes = Vec::new();
    for _ in 0..count {
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .context("a lexeme has no end")?;
        let lexeme = std::str::from_utf8(&rest[..end])?;
        rest = &rest[end + 1..];
        let count = u16::from_be_bytes(*take(&mut rest)?);
        let positions = (0..count)
            .map(|_| Ok(u16::from_be_bytes(*take(&mut rest)?)))
            .collect::<Result<_>>()?;
        lexemes.push((lexeme, positions));
    }
    Ok(lexemes)
}

fn take<'b, const N: usize>(rest: &mut &'b [u8]) -> Result<&'b [u8; N]> {
    let (taken, left) = rest.split_first_chunk().context("it ends too early")?;
    *rest = left;
    Ok(taken)
}
