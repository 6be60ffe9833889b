//! Strict query parameters: named, typed, bounded, and given at most once. Unknown ones are rejected, so that a
//! misspelled parameter isn't silently ignored.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error::ApiError;

/// The longest query string that is read, in bytes.
const MAX_QUERY_BYTES: usize = 4096;

/// The parameters of a request, minus those taken so far.
#[derive(Debug)]
pub struct Parameters<'a> {
    given: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    taken: Vec<&'static str>,
}

impl<'a> Parameters<'a> {
    /// Parses a query string.
    ///
    /// # Errors
    /// When a parameter is repeated, isn't valid UTF-8 or holds a control character, or the string is too long.
    pub fn parse(query: Option<&'a str>) -> Result<Self, ApiError> {
        let query = query.unwrap_or_default();
        if query.len() > MAX_QUERY_BYTES {
            let detail = format!(
                "the query string has {} bytes; at most {MAX_QUERY_BYTES} are read",
                query.len()
            );
            return Err(ApiError::parameter("query", detail));
        }
        let mut given: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(8);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if given.iter().any(|(known, _)| *known == name) {
                return Err(ApiError::parameter(
                    name.into_owned(),
                    "is given twice; give it once",
                ));
            }
            if value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(ApiError::parameter(
                    name.into_owned(),
                    "is not valid UTF-8, percent-encoded",
                ));
            }
            if value.chars().any(char::is_control) {
                return Err(ApiError::parameter(
                    name.into_owned(),
                    "holds a control character; send printable text",
                ));
            }
            given.push((name, value));
        }
        Ok(Self {
            given,
            taken: Vec::with_capacity(16),
        })
    }

    /// Takes one parameter, if it was given.
    pub fn take(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        self.taken.push(name);
        let at = self.given.iter().position(|(known, _)| known == name)?;
        Some(self.given.swap_remove(at).1)
    }

    /// Takes a string of 1 to `max_chars` characters.
    ///
    /// # Errors
    /// When it is empty or longer.
    pub fn take_text(&mut self, name: &'static str, max_chars: usize) -> Result<Option<String>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let value = value.trim();
        match value.chars().count() {
            0 => Err(ApiError::parameter(
                name,
                format!("is empty; give 1 to {max_chars} characters, or leave it out"),
            )),
            length if length > max_chars => Err(ApiError::parameter(
                name,
                format!("has {length} characters; at most {max_chars} are allowed"),
            )),
            _ => Ok(Some(value.to_owned())),
        }
    }

    /// Takes an integer between two bounds.
    ///
    /// # Errors
    /// When it isn't an integer within the bounds; the problem names both.
    pub fn take_number<T>(&mut self, name: &'static str, min: T, max: T) -> Result<Option<T>, ApiError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.parse::<T>() {
            Ok(number) if number >= min && number <= max => Ok(Some(number)),
            _ => {
                let shown: String = value.chars().take(40).collect();
                Err(ApiError::parameter(
                    name,
                    format!("`{shown}` is not a whole number from {min} to {max}"),
                ))
            }
        }
    }

    /// Takes `true` or `false`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn take_bool(&mut self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(ApiError::parameter(name, "is neither `true` nor `false`")),
        }
    }

    /// Takes one of `choices`.
    ///
    /// # Errors
    /// When it is none of them; the problem lists them.
    pub fn take_choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        choice(name, &value, choices).map(Some)
    }

    /// Takes a comma-separated list of `choices`.
    ///
    /// # Errors
    /// When one is unknown; the problem lists the known ones.
    pub fn take_choices<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Vec<T>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(Vec::new());
        };
        value
            .split(',')
            .map(|word| choice(name, word.trim(), choices))
            .collect()
    }

    /// Rejects parameters that were given and not taken.
    ///
    /// # Errors
    /// When one is left; the problem names it and lists the known ones.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.given.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                let known = if self.taken.is_empty() {
                    "none".to_owned()
                } else {
                    self.taken.join(", ")
                };
                let name: String = name.chars().take(64).collect();
                Err(ApiError::parameter(
                    name,
                    format!("is unknown here; known parameters: {known}"),
                ))
            }
        }
    }
}

/// For a route without parameters: rejects any.
#[derive(Debug, Clone, Copy)]
pub struct NoParameters;

impl<S: Send + Sync> FromRequestParts<S> for NoParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Parameters::parse(parts.uri.query())?.finish()?;
        Ok(Self)
    }
}

fn choice<T: Copy>(name: &'static str, word: &str, choices: &[(&'static str, T)]) -> Result<T, ApiError> {
    choices
        .iter()
        .find(|(known, _)| *known == word)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let known = choices
                .iter()
                .map(|(known, _)| *known)
                .collect::<Vec<_>>()
                .join(", ");
            let word: String = word.chars().take(40).collect();
            ApiError::parameter(name, format!("`{word}` is not allowed; one of: {known}"))
        })
}
