//! Properties of objects and elements of arrays.

use super::Evaluator;
use crate::{
    error::Fault,
    expression::Step,
    value::{Object, Value},
};

/// How many property names an error message lists.
const LISTED_NAMES: usize = 40;

impl Evaluator<'_> {
    pub(super) fn step(&self, value: &Value, step: &Step) -> Result<Value, Fault> {
        match step {
            Step::Property(name) => property(value, name),
            Step::Index(index) => match self.term(index)? {
                Value::String(name) => property(value, &name),
                Value::Int(index) => element(value, index),
                other => {
                    let kind = other.type_name();
                    Err(fault(format!(
                        "The language expression index is of type '{kind}', expected 'String' or 'Integer'"
                    )))
                }
            },
        }
    }
}

fn property(value: &Value, name: &str) -> Result<Value, Fault> {
    let Value::Object(object) = value else {
        let kind = value.type_name();
        return Err(fault(format!(
            "The language expression property '{name}' can't be evaluated, the value before it is of type '{kind}'"
        )));
    };
    object.get(name).cloned().ok_or_else(|| missing_property(object, name))
}

fn missing_property(object: &Object, name: &str) -> Fault {
    let mut names: Vec<&str> = object.keys().take(LISTED_NAMES).map(|key| &**key).collect();
    if object.len() > LISTED_NAMES {
        names.push("...");
    }
    let names = names.join(", ");
    fault(format!(
        "The language expression property '{name}' doesn't exist, available properties are '{names}'"
    ))
}

fn element(value: &Value, index: i64) -> Result<Value, Fault> {
    let Value::Array(array) = value else {
        let kind = value.type_name();
        return Err(fault(format!(
            "The language expression array index '{index}' can't be evaluated, the value before it is of type '{kind}'"
        )));
    };
    let element = usize::try_from(index).ok().and_then(|index| array.get(index));
    element.cloned().ok_or_else(|| {
        let count = array.len();
        fault(format!(
            "The language expression array index '{index}' is out of bounds, the array has {count} element(s)"
        ))
    })
}

/// A fault that is not that of the function around it.
fn fault(message: String) -> Fault {
    Fault::new(message).complete()
}
