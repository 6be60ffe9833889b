//! Query parameters, declared once: `query_parameters!` makes a struct, and both the extractor [`Query`] and the OpenAPI
//! document come from it. `parsers.rs` has the kinds of values.
//!
//! Parsing is strict: values are typed and bounded, and each parameter is given at most once. Unknown ones are rejected,
//! so that a misspelled parameter isn't silently ignored.

mod parsers;

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa::IntoParams;
use utoipa::openapi::path::Parameter;

pub use self::parsers::{
    ValueParser, boolean, choice, choices, cursor, group, number, number_or, required_text, text,
};
use super::error::ApiError;

/// The longest query string that is read, in bytes.
const MAX_QUERY_BYTES: usize = 4096;

/// Declares a struct of query parameters. Each field has a parser (`parsers.rs`), and its doc comment is the parameter's
/// description in the OpenAPI document. Parameters are parsed in the order of the fields. A field with the parser
/// [`group()`] is itself such a struct: its parameters are inserted beside the others. `check` names a function for
/// conditions that concern several parameters.
///
/// ```ignore
/// query_parameters! {
///     /// Filters by price.
///     pub struct PriceFilter {
///         /// Lowest price, in minor units
///         min_price: Option<i64> = number(0, MAX_PRICE),
///     }
///     check Self::check_prices;
/// }
/// ```
///
/// expands to the struct without the parsers and to
///
/// ```ignore
/// impl QueryParameters for PriceFilter {
///     fn take(given: &mut GivenParameters<'_>) -> Result<Self, ApiError> {
///         let parameters = Self { min_price: number(0, MAX_PRICE).take("min_price", given)? };
///         Self::check_prices(&parameters)?;
///         Ok(parameters)
///     }
/// }
/// impl IntoParams for PriceFilter {
///     // Describes `min_price` as an optional integer from 0 to MAX_PRICE.
/// }
/// ```
macro_rules! query_parameters {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $Parameters:ident {
            $(
                $(#[doc = $description:literal])*
                $field_visibility:vis $field:ident: $type:ty = $parser:expr,
            )+
        }
        $(check $check:path;)?
    ) => {
        $(#[$attribute])*
        #[derive(Debug)]
        $visibility struct $Parameters {
            $($(#[doc = $description])* $field_visibility $field: $type,)+
        }

        impl $crate::web::query::QueryParameters for $Parameters {
            fn take(
                given: &mut $crate::web::query::GivenParameters<'_>,
            ) -> Result<Self, $crate::web::error::ApiError> {
                let parameters = Self { $(
                    $field: $crate::web::query::ValueParser::take(&$parser, stringify!($field), given)?,
                )+ };
                $($check(&parameters)?;)?
                Ok(parameters)
            }
        }

        impl utoipa::IntoParams for $Parameters {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                let fields = [$($crate::web::query::ValueParser::<$type>::describe(
                    &$parser,
                    stringify!($field),
                    concat!($($description),*),
                ),)+];
                fields.concat()
            }
        }
    };
}
pub(crate) use query_parameters;

/// A struct that `query_parameters!` declared. Its names are those of the OpenAPI document ([`IntoParams`]).
pub trait QueryParameters: IntoParams + Sized {
    /// Takes these parameters and leaves the others.
    ///
    /// # Errors
    /// A 400 that names the invalid parameter.
    fn take(given: &mut GivenParameters<'_>) -> Result<Self, ApiError>;

    /// Parses a query string that has no other parameters.
    ///
    /// # Errors
    /// A 400 that names the parameter that is invalid, unknown or repeated.
    fn parse(query: Option<&str>) -> Result<Self, ApiError> {
        let mut given = GivenParameters::split(query)?;
        let parameters = Self::take(&mut given)?;
        given.reject_unknown(|| Self::into_params(|| None))?;
        Ok(parameters)
    }
}

/// Extracts the parameters that `T` declares and rejects any other. `params(T)` in `#[utoipa::path]` documents them.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: QueryParameters> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        T::parse(parts.uri.query()).map(Self)
    }
}

/// For a route without parameters: rejects any.
#[derive(Debug, Clone, Copy)]
pub struct NoParameters;

impl<S: Send + Sync> FromRequestParts<S> for NoParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        GivenParameters::split(parts.uri.query())?.reject_unknown(Vec::new)?;
        Ok(Self)
    }
}

/// The names and values of a request, minus those taken so far.
#[derive(Debug)]
pub struct GivenParameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> GivenParameters<'a> {
    /// Splits and decodes a query string.
    ///
    /// # Errors
    /// When a parameter is repeated, isn't valid UTF-8 or holds a control character, or the string is too long.
    fn split(query: Option<&'a str>) -> Result<Self, ApiError> {
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
            let fault = if given.iter().any(|(known, _)| *known == name) {
                Some("is given twice; give it once")
            } else if value.contains(char::REPLACEMENT_CHARACTER) {
                Some("is not valid UTF-8, percent-encoded")
            } else if value.chars().any(char::is_control) {
                Some("holds a control character; send printable text")
            } else {
                None
            };
            if let Some(fault) = fault {
                return Err(ApiError::parameter(name.into_owned(), fault));
            }
            given.push((name, value));
        }
        Ok(Self(given))
    }

    /// Takes a parameter's value, if it was given.
    fn take(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        let at = self.0.iter().position(|(given, _)| given == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Rejects parameters that were not taken; the problem names one and lists the known ones.
    fn reject_unknown(self, known: impl FnOnce() -> Vec<Parameter>) -> Result<(), ApiError> {
        let Some((name, _)) = self.0.into_iter().next() else {
            return Ok(());
        };
        let known: Vec<String> = known().into_iter().map(|parameter| parameter.name).collect();
        let known = match known.as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        let name: String = name.chars().take(64).collect();
        Err(ApiError::parameter(
            name,
            format!("is unknown here; known parameters: {known}"),
        ))
    }
}
