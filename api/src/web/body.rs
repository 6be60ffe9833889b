//! Strict JSON bodies: declared as JSON, bounded in size, and only known fields. An error names the field by its
//! path. Types that are read this way have `#[serde(deny_unknown_fields)]`.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::error::ApiError;
use super::strict_object::StrictObject;

/// At most this many characters of client input are echoed in an error.
const MAX_REPEATED_CHARS: usize = 200;

/// A parsed JSON body. A layer bounds its size, serde_json its nesting (128 levels).
#[derive(Debug, Clone)]
pub struct JsonBody<T>(pub T);

impl<S, T> FromRequest<S> for JsonBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let bytes = Bytes::from_request(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// `application/json`, or a type that ends in `+json`, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let declared = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = declared.unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Parses one JSON object, with nothing after it.
///
/// # Errors
/// A 400 that names the invalid field, or `body` if it isn't about a field.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Serde would blame a field here; the mistake is the whole body.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::parameter("body", "is not a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(StrictObject(&mut json)).map_err(|error| {
        let path = error.path().to_string();
        // `serde_path_to_error` writes `?` where the body breaks off within a name or value.
        let parameter = match path.strip_suffix(".?").unwrap_or(&path) {
            "" | "." | "?" => "body".to_owned(),
            path => shortened(path),
        };
        ApiError::parameter(parameter, shortened(&error.inner().to_string()))
    })?;
    json.end()
        .map_err(|_| ApiError::parameter("body", "has trailing data after its JSON value; send one value"))?;
    Ok(value)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_REPEATED_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A string of 1 to `MAX` characters, trimmed, without control characters. No name contains them, and Postgres
/// rejects NUL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BoundedString<const MAX: usize>(String);

impl<const MAX: usize> BoundedString<MAX> {
    /// 1 to `MAX` characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As [`BoundedString::as_str`], without a copy.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for BoundedString<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = String::deserialize(deserializer)?;
        let text = given.trim();
        if text.chars().any(char::is_control) {
            return Err(serde::de::Error::custom(
                "holds a control character; send printable text",
            ));
        }
        match text.chars().count() {
            0 => Err(serde::de::Error::custom(format!(
                "is empty; give 1 to {MAX} characters"
            ))),
            length if length > MAX => Err(serde::de::Error::custom(format!(
                "has {length} characters; at most {MAX} are allowed"
            ))),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only parsed")]
    struct Order {
        address: Address,
        lines: Vec<u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only parsed")]
    struct Address {
        city: BoundedString<8>,
    }

    fn fault(json: &str) -> (String, String) {
        match parse::<Order>(json.as_bytes()) {
            Err(ApiError::InvalidParameter { parameter, detail }) => (parameter.into_owned(), detail),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert!(parse::<Order>(br#"{"address": {"city": " Oslo "}, "lines": [1]}"#).is_ok());
        let (path, _) = fault(r#"{"address": {"city": 1}, "lines": []}"#);
        assert_eq!(path, "address.city");
        let (path, detail) = fault(r#"{"address": {"city": "Oslo", "planet": "Earth"}, "lines": []}"#);
        assert_eq!(path, "address.planet");
        assert!(detail.contains("unknown field `planet`"), "{detail}");
        let (path, detail) = fault(r#"{"address": ["Oslo"], "lines": []}"#);
        assert_eq!(path, "address");
        assert!(detail.contains("is an array"), "{detail}");
        let (path, _) = fault(r#"{"address": {"city": "Oslo"}, "lines": [1, -2]}"#);
        assert_eq!(path, "lines[1]");
        let (path, _) = fault(r#"{"address": {"city": "Oslo"}, "lines": [1]"#);
        assert_eq!(path, "body");
        let (path, _) = fault(r#"{"address": {"city": "Oslo""#);
        assert_eq!(path, "address");
        let (path, detail) = fault(r#"{"address": {"city": "Oslo"}}"#);
        assert_eq!(path, "body");
        assert!(detail.contains("missing field `lines`"), "{detail}");
    }

    #[test]
    fn texts_are_bounded_and_printable() {
        for (city, expected) in [
            ("  ", "empty"),
            ("a\\u0000b", "control"),
            ("123456789", "9 characters"),
        ] {
            let (path, detail) = fault(&format!(r#"{{"address": {{"city": "{city}"}}, "lines": []}}"#));
            assert_eq!(path, "address.city");
            assert!(detail.contains(expected), "{detail}");
        }
    }

    #[test]
    fn what_is_no_json_value_is_refused_whole() {
        for json in [
            "",
            "{",
            "null",
            "[]",
            r#"[{"city": "Oslo"}, [1]]"#,
            r#"{"address": {"city": "Oslo"}, "lines": []} x"#,
        ] {
            fault(json);
        }
        let deep = "[".repeat(10_000);
        fault(&deep);
        let (path, _) = fault(&format!(r#"{{"address": {deep}"#));
        assert!(path.starts_with("address"), "{path}");
        assert!(matches!(
            parse::<serde_json::Value>(deep.as_bytes()),
            Err(ApiError::InvalidParameter { .. })
        ));
        let long = "x".repeat(10_000);
        let (path, detail) = fault(&format!(r#"{{"{long}": 1}}"#));
        assert!(path.len() < 300 && detail.len() < 300);
    }
}
