//! The lexemes of words, as Postgres parses them, and search documents (`tsvector`) that are composed of them.
//!
//! Postgres parses a text from left to right, and a blank ends each token. So the lexemes of a text are those of its
//! blank-separated words, and each word's positions follow those of the words before it, stop words included
//! (<https://www.postgresql.org/docs/current/textsearch-controls.html>). A product's document is that of its title with
//! weight A, followed by that of its description with weight D, whose positions begin after the title's last lexeme.
//!
//! The binary format is that of `tsvectorsend`: the number of lexemes, then each lexeme, terminated by a zero byte, the
//! number of its positions, and the positions, of 16 bits each, with the weight in the upper two.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// Appended to each word that Postgres parses, so that its position shows how many positions the word takes. It occurs
/// in no generated text.
const END: &str = "zzq";

/// Weight A in the upper two bits of a position. Weight D is 0.
const WEIGHT_A: u16 = 3 << 14;

/// The largest position that Postgres stores. Larger ones are stored as this one.
const MAX_POSITION: u16 = (1 << 14) - 1;

/// All words that Postgres has parsed so far.
#[derive(Debug, Default)]
pub struct Words {
    known: HashMap<Box<str>, Word>,
    lexemes: Vec<Box<str>>,
    ids: HashMap<Box<str>, usize>,
}

#[derive(Debug)]
struct Word {
    /// Indexes into [`Words::lexemes`], each with a position, from 1.
    lexemes: Vec<(usize, u16)>,
    /// The number of positions that the word takes, including those of stop words.
    positions: u16,
}

impl Words {
    /// Has Postgres parse the words of these texts that are new.
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
            let parsed = self.parse_word(raw_bytes(row)?);
            let parsed = parsed.with_context(|| format!("cannot use the lexemes of `{word}`"))?;
            self.known.insert(word.into(), parsed);
        }
        Ok(())
    }

    /// Parses the document of a word that is followed by [`END`].
    fn parse_word(&mut self, document: &[u8]) -> Result<Word> {
        let mut word = Word {
            lexemes: Vec::new(),
            positions: 0,
        };
        let mut has_end = false;
        for (lexeme, positions) in decode_tsvector(document)? {
            if lexeme == END {
                let [end] = positions[..] else {
                    anyhow::bail!("the word contains `{END}`");
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
        self.append_lexemes(title, 0, WEIGHT_A, &mut lexemes)?;
        let title_end = lexemes
            .iter()
            .map(|(_, position)| position & MAX_POSITION)
            .max()
            .unwrap_or(0);
        self.append_lexemes(description, title_end, 0, &mut lexemes)?;
        // In Postgres' own order, by bytes. Otherwise it would sort them.
        lexemes.sort_unstable_by(|(one, one_position), (other, other_position)| {
            let by_lexeme = match one == other {
                true => std::cmp::Ordering::Equal,
                false => self.lexemes[*one].as_bytes().cmp(self.lexemes[*other].as_bytes()),
            };
            by_lexeme.then_with(|| (one_position & MAX_POSITION).cmp(&(other_position & MAX_POSITION)))
        });
        lexemes.dedup();
        let groups = || lexemes.chunk_by(|one, other| one.0 == other.0);
        let count = |number: usize| u16::try_from(number).expect("a text has fewer than 65,536 positions");
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

    /// Appends the lexemes of a text whose positions begin after `offset`.
    fn append_lexemes(
        &self,
        text: &str,
        offset: u16,
        weight: u16,
        lexemes: &mut Vec<(usize, u16)>,
    ) -> Result<()> {
        let mut offset = offset;
        for word in text.split_ascii_whitespace() {
            let word = self.known.get(word).context("a word was not learned")?;
            for (lexeme, position) in &word.lexemes {
                lexemes.push((*lexeme, weight | (offset + position).min(MAX_POSITION)));
            }
            offset = offset.saturating_add(word.positions).min(MAX_POSITION);
        }
        Ok(())
    }
}

/// The search document of a product that the schema's function computes, in the binary format.
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
    Ok(raw_bytes(&row)?.to_vec())
}

/// The first column in the binary format, which prepared statements return.
fn raw_bytes(row: &PgRow) -> Result<&[u8]> {
    row.try_get_raw(0)?.as_bytes().map_err(anyhow::Error::from_boxed)
}

/// Decodes lexemes with their positions.
fn decode_tsvector(document: &[u8]) -> Result<Vec<(&str, Vec<u16>)>> {
    let mut rest = document;
    let count = u32::from_be_bytes(*split_array(&mut rest)?);
    let mut lexemes = Vec::new();
    for _ in 0..count {
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .context("a lexeme has no end")?;
        let lexeme = std::str::from_utf8(&rest[..end])?;
        rest = &rest[end + 1..];
        let count = u16::from_be_bytes(*split_array(&mut rest)?);
        let positions = (0..count)
            .map(|_| Ok(u16::from_be_bytes(*split_array(&mut rest)?)))
            .collect::<Result<_>>()?;
        lexemes.push((lexeme, positions));
    }
    Ok(lexemes)
}

fn split_array<'b, const N: usize>(rest: &mut &'b [u8]) -> Result<&'b [u8; N]> {
    let (taken, left) = rest.split_first_chunk().context("the document is truncated")?;
    *rest = left;
    Ok(taken)
}
