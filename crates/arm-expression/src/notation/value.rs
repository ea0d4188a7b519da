//! Values from a text.

use super::read::{Build, Field, Scalar, read};
use crate::{
    error::Error,
    limits::Limits,
    position::Position,
    value::{Object, Value},
};

/// Reads a value, as the template function `json` does, with the same freedoms as [`Node::parse`](crate::Node::parse).
pub(crate) fn read_value(text: &str, limits: &Limits) -> Result<Value, Error> {
    read(text, limits)
}

impl Build for Value {
    fn scalar(_: Position, scalar: Scalar) -> Self {
        match scalar {
            Scalar::Null => Self::Null,
            Scalar::Bool(bool) => Self::Bool(bool),
            Scalar::Int(number) => Self::Int(number),
            Scalar::Float(number) => Self::Float(number),
            Scalar::Text(text) => Self::String(text),
        }
    }

    fn array(_: Position, items: Vec<Self>) -> Self {
        Self::from(items)
    }

    fn object(_: Position, fields: Vec<Field<Self>>) -> Self {
        let members = fields.into_iter().map(|field| (field.key, field.value));
        Self::Object(members.collect::<Object>())
    }
}
