//! A serde adapter that rejects arrays where an object is expected. serde's derived deserializers for structs also
//! accept an array with the fields in order; a client that sends one made a mistake or is probing. The adapter wraps
//! every nested deserializer, so it applies at any depth without changes to the types. `body.rs` parses request bodies
//! with it.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// Wraps a deserializer, seed or accessor. Everything that is deserialized through it must have objects where a struct
/// has named fields.
pub(super) struct StrictObject<T>(pub(super) T);

/// Wraps a type's visitor.
struct StrictVisitor<V> {
    visitor: V,
    /// Whether the type has named fields.
    is_object: bool,
}

impl<V> StrictVisitor<V> {
    fn for_object(visitor: V) -> Self {
        Self {
            visitor,
            is_object: true,
        }
    }

    fn for_other(visitor: V) -> Self {
        Self {
            visitor,
            is_object: false,
        }
    }
}

macro_rules! deserialize {
    ($($method:ident($($argument:ident: $type:ty),*) $constructor:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self $(, $argument: $type)*, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* StrictVisitor::$constructor(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for StrictObject<D> {
    type Error = D::Error;

    deserialize! {
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) for_object;
        deserialize_any() for_other;
        deserialize_bool() for_other;
        deserialize_i8() for_other;
        deserialize_i16() for_other;
        deserialize_i32() for_other;
        deserialize_i64() for_other;
        deserialize_i128() for_other;
        deserialize_u8() for_other;
        deserialize_u16() for_other;
        deserialize_u32() for_other;
        deserialize_u64() for_other;
        deserialize_u128() for_other;
        deserialize_f32() for_other;
        deserialize_f64() for_other;
        deserialize_char() for_other;
        deserialize_str() for_other;
        deserialize_string() for_other;
        deserialize_bytes() for_other;
        deserialize_byte_buf() for_other;
        deserialize_option() for_other;
        deserialize_unit() for_other;
        deserialize_unit_struct(name: &'static str) for_other;
        deserialize_newtype_struct(name: &'static str) for_other;
        deserialize_seq() for_other;
        deserialize_tuple(length: usize) for_other;
        deserialize_tuple_struct(name: &'static str, length: usize) for_other;
        deserialize_map() for_other;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) for_other;
        deserialize_identifier() for_other;
        deserialize_ignored_any() for_other;
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident($type:ty);)*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.visitor.$method(value)
        }
    )*};
}

/// Only the types that JSON has: `serde_json` passes numbers of other widths as these.
impl<'de, V: Visitor<'de>> Visitor<'de> for StrictVisitor<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(formatter)
    }

    visit! {
        visit_bool(bool);
        visit_i64(i64);
        visit_i128(i128);
        visit_u64(u64);
        visit_u128(u128);
        visit_f64(f64);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(StrictObject(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(StrictObject(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        if self.is_object {
            return Err(A::Error::custom("is an array; send an object with named fields"));
        }
        self.visitor.visit_seq(StrictObject(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(StrictObject(fields))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(StrictObject(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for StrictObject<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(StrictObject(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for StrictObject<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(StrictObject(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for StrictObject<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(StrictObject(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(StrictObject(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for StrictObject<A> {
    type Error = A::Error;
    type Variant = StrictObject<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(StrictObject(seed))?;
        Ok((value, StrictObject(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for StrictObject<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(StrictObject(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(length, StrictVisitor::for_other(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, StrictVisitor::for_object(visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: i8,
        y: f32,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped(Point);

    #[derive(Debug, PartialEq, Deserialize)]
    enum Shape {
        Dot,
        At(Point),
        Line { from: Point, to: Point },
        Pair(i8, i8),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct All {
        point: Option<Point>,
        wrapped: Wrapped,
        list: Vec<Point>,
        map: BTreeMap<String, Point>,
        pair: (char, bool),
        shapes: Vec<Shape>,
        text: String,
        nothing: (),
    }

    const JSON: &str = r#"{
        "point": {"x": -1, "y": 2.5}, "wrapped": {"x": 1, "y": 2}, "list": [{"x": 3, "y": 4}], "map": {"a": {"x": 5, "y": 6}},
        "pair": ["c", true], "text": "t\n", "nothing": null,
        "shapes": ["Dot", {"At": {"x": 7, "y": 8}}, {"Line": {"from": {"x": 1, "y": 1}, "to": {"x": 2, "y": 2}}}, {"Pair": [1, 2]}]
    }"#;

    fn parse_strictly(json: &str) -> Result<All, serde_json::Error> {
        All::deserialize(StrictObject(&mut serde_json::Deserializer::from_str(json)))
    }

    #[test]
    fn valid_objects_are_parsed_as_without_the_adapter() {
        assert_eq!(parse_strictly(JSON).unwrap(), serde_json::from_str(JSON).unwrap());
        let without = JSON.replace(r#"{"x": -1, "y": 2.5}"#, "null");
        assert_eq!(parse_strictly(&without).unwrap().point, None);
    }

    #[test]
    fn an_array_in_place_of_an_object_is_rejected_at_any_depth() {
        for (object, array) in [
            (r#"{"x": -1, "y": 2.5}"#, "[-1, 2.5]"),
            (r#"{"x": 1, "y": 2}"#, "[1, 2]"),
            (r#"{"x": 3, "y": 4}"#, "[3, 4]"),
            (r#"{"x": 5, "y": 6}"#, "[5, 6]"),
            (r#"{"x": 7, "y": 8}"#, "[7, 8]"),
            (r#"{"x": 2, "y": 2}"#, "[2, 2]"),
            (
                r#"{"from": {"x": 1, "y": 1}, "to": {"x": 2, "y": 2}}"#,
                r#"[{"x": 1, "y": 1}, {"x": 2, "y": 2}]"#,
            ),
        ] {
            let json = JSON.replace(object, array);
            assert_ne!(json, JSON);
            assert!(serde_json::from_str::<All>(&json).is_ok(), "{json}");
            let error = parse_strictly(&json).unwrap_err().to_string();
            assert!(error.starts_with("is an array; send an object"), "{error}");
        }
    }
}
