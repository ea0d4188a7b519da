//! The arguments of a call.

use std::sync::Arc;

use crate::{
    environment::Environment,
    error::Fault,
    limits::Budget,
    value::{Array, Object, Value},
};

/// The values of a call, and what a function may know beside them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arguments<'a> {
    /// The values in order.
    pub(crate) values: &'a [Value],
    /// Constants of the deployment.
    pub(crate) environment: &'a Environment,
    /// What the function may produce: see [`Budget::charge_bytes`].
    pub(crate) budget: &'a Budget,
}

impl<'a> Arguments<'a> {
    /// The text at `index`.
    pub(crate) fn string(&self, index: usize) -> Result<&'a Arc<str>, Fault> {
        match self.value(index)? {
            Value::String(text) => Ok(text),
            other => Err(wrong_type(index, &["String"], other)),
        }
    }

    /// The texts of the array at `index`, all of whose elements must be strings.
    pub(crate) fn strings(&self, index: usize) -> Result<Vec<&'a str>, Fault> {
        let texts = self.array(index)?.iter().map(Value::as_str);
        texts.collect::<Option<_>>().ok_or_else(|| {
            Fault::new(format!("argument {} must be an array of strings only", index + 1))
        })
    }

    /// The whole number at `index`.
    pub(crate) fn int(&self, index: usize) -> Result<i64, Fault> {
        let value = self.value(index)?;
        value.as_int().ok_or_else(|| wrong_type(index, &["Integer"], value))
    }

    /// The bool at `index`.
    pub(crate) fn bool(&self, index: usize) -> Result<bool, Fault> {
        let value = self.value(index)?;
        value.as_bool().ok_or_else(|| wrong_type(index, &["Boolean"], value))
    }

    /// The array at `index`.
    pub(crate) fn array(&self, index: usize) -> Result<&'a Array, Fault> {
        let value = self.value(index)?;
        value.as_array().ok_or_else(|| wrong_type(index, &["Array"], value))
    }

    /// The object at `index`.
    pub(crate) fn object(&self, index: usize) -> Result<&'a Object, Fault> {
        let value = self.value(index)?;
        value.as_object().ok_or_else(|| wrong_type(index, &["Object"], value))
    }

    /// The value at `index`.
    pub(crate) fn value(&self, index: usize) -> Result<&'a Value, Fault> {
        self.values
            .get(index)
            .ok_or_else(|| Fault::new(format!("argument {} is missing", index + 1)))
    }

    /// The fault of an argument with a type that the function does not take.
    pub(crate) fn wrong_type(&self, index: usize, expected: &[&str]) -> Fault {
        match self.values.get(index) {
            Some(value) => wrong_type(index, expected, value),
            None => Fault::new(format!("argument {} is missing", index + 1)),
        }
    }
}

fn wrong_type(index: usize, expected: &[&str], found: &Value) -> Fault {
    let (number, found) = (index + 1, found.type_name());
    let expected = expected.join("' or '");
    Fault::new(format!("argument {number} must be of type '{expected}', it is of type '{found}'"))
}
