//! The kinds of values that a query parameter can have. A parser both parses the value and describes it in the OpenAPI
//! document, so its bounds and names can't differ between the two.

use std::marker::PhantomData;

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Required, Schema};

use super::{GivenParameters, QueryParameters};
use crate::web::error::ApiError;

/// Parses a field of `query_parameters!` and describes it in the OpenAPI document.
pub trait ValueParser<T> {
    /// Takes the parameter `name` from a request.
    ///
    /// # Errors
    /// A 400 that says what is wrong with the value and what is allowed.
    fn take(&self, name: &'static str, given: &mut GivenParameters<'_>) -> Result<T, ApiError>;

    /// The parameter in the OpenAPI document; several for a group.
    fn describe(&self, name: &'static str, description: &str) -> Vec<Parameter>;
}

/// A parser of one parameter.
struct OneParameter<P, D> {
    /// From the value, if it was given. An error is the detail of the problem.
    parse: P,
    /// Adds the schema.
    describe: D,
}

impl<T, P, D> ValueParser<T> for OneParameter<P, D>
where
    P: Fn(Option<&str>) -> Result<T, String>,
    D: Fn(ParameterBuilder) -> ParameterBuilder,
{
    fn take(&self, name: &'static str, given: &mut GivenParameters<'_>) -> Result<T, ApiError> {
        let value = given.take(name);
        (self.parse)(value.as_deref()).map_err(|detail| ApiError::parameter(name, detail))
    }

    fn describe(&self, name: &'static str, description: &str) -> Vec<Parameter> {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(description.trim()));
        vec![(self.describe)(parameter).build()]
    }
}

fn parameter<T>(
    parse: impl Fn(Option<&str>) -> Result<T, String>,
    describe: impl Fn(ParameterBuilder) -> ParameterBuilder,
) -> impl ValueParser<T> {
    OneParameter { parse, describe }
}

fn optional<T>(
    parse: impl Fn(&str) -> Result<T, String>,
    schema: impl Fn() -> ObjectBuilder,
) -> impl ValueParser<Option<T>> {
    parameter(
        move |given| given.map(&parse).transpose(),
        move |parameter| parameter.schema(Some(schema())),
    )
}

/// The parameters of another struct, beside this one's.
pub fn group<T: QueryParameters>() -> impl ValueParser<T> {
    Group(PhantomData)
}

struct Group<T>(PhantomData<T>);

impl<T: QueryParameters> ValueParser<T> for Group<T> {
    fn take(&self, _name: &'static str, given: &mut GivenParameters<'_>) -> Result<T, ApiError> {
        T::take(given)
    }

    fn describe(&self, _name: &'static str, _description: &str) -> Vec<Parameter> {
        T::into_params(|| None)
    }
}

/// A string of 1 to `max_chars` characters, without the whitespace around it.
pub fn text(max_chars: usize) -> impl ValueParser<Option<String>> {
    optional(
        move |value| bounded(value, max_chars),
        move || string(1, max_chars),
    )
}

/// As [`text`], but it must be given.
pub fn required_text(min_chars: usize, max_chars: usize) -> impl ValueParser<String> {
    parameter(
        move |given| {
            let text = given.map(|value| bounded(value, max_chars)).transpose()?;
            text.filter(|text| text.chars().count() >= min_chars)
                .ok_or_else(|| format!("send {min_chars} to {max_chars} characters"))
        },
        move |parameter| {
            let schema = string(min_chars, max_chars);
            parameter.schema(Some(schema)).required(Required::True)
        },
    )
}

fn bounded(value: &str, max_chars: usize) -> Result<String, String> {
    let value = value.trim();
    match value.chars().count() {
        0 => Err(format!(
            "is empty; give 1 to {max_chars} characters, or leave it out"
        )),
        length if length > max_chars => Err(format!(
            "has {length} characters; at most {max_chars} are allowed"
        )),
        _ => Ok(value.to_owned()),
    }
}

fn string(min_chars: usize, max_chars: usize) -> ObjectBuilder {
    let schema = schema_of(Type::String).min_length(Some(min_chars));
    schema.max_length(Some(max_chars))
}

/// A cursor as it was given. Decoding it needs the name of its list.
pub fn cursor() -> impl ValueParser<Option<String>> {
    optional(|value| Ok(value.to_owned()), || schema_of(Type::String))
}

/// An integer from `min` to `max`, both included.
pub fn number(min: i64, max: i64) -> impl ValueParser<Option<i64>> {
    optional(move |value| in_range(value, min, max), move || integer(min, max))
}

/// As [`number`]; `default` if it isn't given.
pub fn number_or(default: i64, min: i64, max: i64) -> impl ValueParser<i64> {
    parameter(
        move |given| given.map_or(Ok(default), |value| in_range(value, min, max)),
        move |parameter| {
            let schema = integer(min, max).default(Some(default.into()));
            parameter.schema(Some(schema))
        },
    )
}

fn in_range(value: &str, min: i64, max: i64) -> Result<i64, String> {
    let number = value.parse().ok();
    number
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("`{}` is not a whole number from {min} to {max}", shortened(value)))
}

fn integer(min: i64, max: i64) -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    let schema = schema_of(Type::Integer).format(Some(format));
    schema.minimum(Some(min)).maximum(Some(max))
}

/// `true` or `false`.
pub fn boolean() -> impl ValueParser<Option<bool>> {
    optional(
        |value| match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("is neither `true` nor `false`".to_owned()),
        },
        || schema_of(Type::Boolean),
    )
}

/// One of `names`, as its value.
pub fn choice<T: Copy>(names: &'static [(&str, T)]) -> impl ValueParser<Option<T>> {
    let words = || names.iter().map(|(name, _)| *name);
    optional(
        move |word| Ok(names[position(word, words())?].1),
        move || one_of(words()),
    )
}

/// A comma-separated list of `words`, empty if it isn't given.
pub fn choices<C>(words: &'static [&str]) -> impl ValueParser<C>
where
    C: FromIterator<&'static str>,
{
    let all = || words.iter().copied();
    parameter(
        move |given| {
            let given = given.into_iter().flat_map(|value| value.split(','));
            let positions = given.map(|word| position(word.trim(), all()));
            positions.map(|at| Ok(words[at?])).collect()
        },
        move |parameter| {
            let schema = Schema::from(ArrayBuilder::new().items(one_of(all())));
            let parameter = parameter.schema(Some(schema)).explode(Some(false));
            parameter.style(Some(ParameterStyle::Form))
        },
    )
}

fn position(word: &str, known: impl Iterator<Item = &'static str> + Clone) -> Result<usize, String> {
    known.clone().position(|known| known == word).ok_or_else(|| {
        let known = known.collect::<Vec<_>>().join(", ");
        format!("`{}` is not allowed; one of: {known}", shortened(word))
    })
}

fn one_of(words: impl Iterator<Item = &'static str>) -> ObjectBuilder {
    schema_of(Type::String).enum_values(Some(words))
}

fn schema_of(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

/// At most this many characters of a value are echoed in a problem.
const MAX_ECHOED_CHARS: usize = 40;

fn shortened(value: &str) -> String {
    value.chars().take(MAX_ECHOED_CHARS).collect()
}
