//! External servers, named by an environment URL: used as they are, never started or stopped.

use std::env;

use anyhow::{Result, bail};

/// A URL argument path (the database or virtual host) is replaced for each use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    before_path: String,
    query: String,
}

impl BaseUrl {
    /// Parses `scheme://user:password@host:port/path?query`.
    pub(crate) fn parse(url: &str) -> Option<BaseUrl> {
        let authority_start = url.find("://")? + 3;
        let (rest, query) = match url.split_once('?') {
            Some((rest, query)) => (rest, format!("?{query}")),
            None => (url, String::new()),
        };
        let before_path = match rest.get(authority_start..)?.find('/') {
            Some(slash) => &rest[..authority_start + slash],
            None => rest,
        };
        (before_path.len() > authority_start).then(|| BaseUrl {
            before_path: before_path.to_owned(),
            query,
        })
    }

    /// The URL in the variable, if it is set.
    pub(crate) fn from_environment(variable: &str, example: &str) -> Result<Option<BaseUrl>> {
        match env::var(variable) {
            Ok(url) if !url.is_empty() => match BaseUrl::parse(&url) {
                Some(base) => Ok(Some(base)),
                None => bail!("{variable} is not a URL; an example: {example}"),
            },
            _ => Ok(None),
        }
    }

    pub(crate) fn with_path(&self, path: &str) -> String {
        format!("{}/{path}{}", self.before_path, self.query)
    }

    /// `host:port` without credentials, for messages.
    pub(crate) fn address(&self) -> &str {
        let authority = self.before_path.split_once("://").map_or("", |(_, rest)| rest);
        authority
            .rsplit_once('@')
            .map_or(authority, |(_, address)| address)
    }

    /// The decoded user and password.
    pub(crate) fn credentials(&self) -> Option<(String, String)> {
        let authority = self.before_path.split_once("://")?.1;
        let (user, password) = authority.rsplit_once('@')?.0.split_once(':')?;
        Some((percent_decode(user), percent_decode(password)))
    }
}

/// Percent-encodes a path segment. A virtual host may be named `/`.
pub(crate) fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02x}")),
        }
        encoded
    })
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let decoded = tail
            .get(..2)
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, decoded) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_replaced_and_the_query_kept() {
        let base = BaseUrl::parse("postgres://shop:p%40ss@db.example:5432/old?sslmode=require").unwrap();
        assert_eq!(
            base.with_path("new"),
            "postgres://shop:p%40ss@db.example:5432/new?sslmode=require"
        );
        assert_eq!(base.address(), "db.example:5432");
        assert_eq!(base.credentials(), Some(("shop".to_owned(), "p@ss".to_owned())));
    }

    #[test]
    fn a_url_may_lack_path_and_credentials() {
        let base = BaseUrl::parse("redis://localhost").unwrap();
        assert_eq!(base.with_path("3"), "redis://localhost/3");
        assert_eq!(base.credentials(), None);
        assert_eq!(BaseUrl::parse("localhost:6379"), None);
        assert_eq!(BaseUrl::parse("redis://"), None);
    }

    #[test]
    fn a_virtual_host_called_slash_is_encoded() {
        assert_eq!(percent_encode("/"), "%2f");
        assert_eq!(percent_encode("left-1"), "left-1");
        assert_eq!(percent_decode(&percent_encode("a/ü %")), "a/ü %");
    }
}
