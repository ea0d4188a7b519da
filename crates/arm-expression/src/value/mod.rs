//! Values of the template language.

mod array;
mod convert;
mod name;
mod object;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

pub use array::Array;
pub use name::{fold_name, same_name};
pub use object::Object;

/// A value. A clone shares the contents of strings, arrays and objects.
///
/// Two values are equal if they have the same type and the same content; the order of an object's keys does not matter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number. It passes through evaluation; few functions take one.
    Float(f64),
    /// Text.
    String(Arc<str>),
    /// An array.
    Array(Array),
    /// An object.
    Object(Object),
}

impl Value {
    /// The name of the type as error messages give it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "Null",
            Self::Bool(_) => "Boolean",
            Self::Int(_) => "Integer",
            Self::Float(_) => "Float",
            Self::String(_) => "String",
            Self::Array(_) => "Array",
            Self::Object(_) => "Object",
        }
    }

    /// About the bytes of the value as JSON. Constant time.
    pub fn weight(&self) -> u64 {
        match self {
            Self::Null | Self::Bool(_) => 4,
            Self::Int(_) | Self::Float(_) => 8,
            Self::String(text) => 2 + text.len() as u64,
            Self::Array(array) => array.weight(),
            Self::Object(object) => object.weight(),
        }
    }

    /// How many arrays and objects stand inside one another; 0 for everything else. Constant time.
    pub fn depth(&self) -> u32 {
        match self {
            Self::Array(array) => array.depth(),
            Self::Object(object) => object.depth(),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::String(_) => 0,
        }
    }

    /// Whether the value is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth of a bool.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The array.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}
