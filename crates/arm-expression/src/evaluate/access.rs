//! Properties of objects and elements of arrays.

use super::Evaluator;
use crate::{error::Fault, expression::Step, value::Value};

/// How many property names an error message lists.
const LISTED_NAMES: usize = 40;

impl Evaluator<'_> {
    pub(super) fn step(&self, value: &Value, step: &Step) -> Result<Value, Fault> {
        match step {
            // The name stands in the template, so it is not secure.
            Step::Property(name) => {
                let found = property(value, name)?;
                found.ok_or_else(|| missing_property(value, name, self.secure.get()))
            }
            Step::Index(index) => {
                let index = self.term(index)?;
                part(value, &index).map_err(|fault| self.discreet(fault))
            }
        }
    }
}

fn part(value: &Value, index: &Value) -> Result<Value, Fault> {
    match index {
        Value::String(name) => {
            property(value, name)?.ok_or_else(|| missing_property(value, name, false))
        }
        Value::Int(index) => element(value, *index),
        other => {
            let kind = other.type_name();
            Err(fault(format!(
                "The language expression index is of type '{kind}', expected 'String' or 'Integer'"
            )))
        }
    }
}

/// The property, if the object has it.
fn property(value: &Value, name: &str) -> Result<Option<Value>, Fault> {
    let Value::Object(object) = value else {
        let kind = value.type_name();
        return Err(fault(format!(
            "The language expression property '{name}' can't be evaluated, the value before it is of type '{kind}'"
        )));
    };
    Ok(object.get(name).cloned())
}

/// The names of the properties that are there are left out if the object is secure.
fn missing_property(value: &Value, name: &str, secure: bool) -> Fault {
    let missing = format!("The language expression property '{name}' doesn't exist");
    let Some(object) = value.as_object().filter(|_| !secure) else { return fault(missing) };
    let mut names: Vec<&str> = object.keys().take(LISTED_NAMES).map(|key| &**key).collect();
    if object.len() > LISTED_NAMES {
        names.push("...");
    }
    let names = names.join(", ");
    fault(format!("{missing}, available properties are '{names}'"))
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
