//! Functions that see the names of the template, or evaluate only the arguments that they need.

use std::sync::Arc;

use super::Evaluator;
use crate::{
    error::Fault,
    expression::{Special, Term},
    value::Value,
};

impl Evaluator<'_> {
    pub(super) fn special(&self, special: Special, arguments: &[Term]) -> Result<Value, Fault> {
        match special {
            Special::If => self.if_(arguments),
            Special::And => self.all_are(true, arguments),
            Special::Or => self.all_are(false, arguments),
            Special::Coalesce => self.coalesce(arguments),
            Special::Parameters => {
                let name = self.only_name(arguments)?;
                self.noted(self.context.parameter(&name)?)
            }
            Special::Variables => {
                let name = self.only_name(arguments)?;
                self.noted(self.context.variable(&name)?)
            }
            Special::LambdaVariables => {
                let name = self.only_name(arguments)?;
                self.lambda_variables.borrow().get(&name)
            }
            Special::CopyIndex => self.copy_index(arguments),
            Special::Lambda => Err(Fault::new(
                "it may stand only as an argument of a function that takes a lambda",
            )),
            Special::Filter => self.filter(arguments),
            Special::GroupBy => self.group_by(arguments),
            Special::Map => self.map(arguments),
            Special::MapValues => self.map_values(arguments),
            Special::Reduce => self.reduce(arguments),
            Special::Sort => self.sort(arguments),
            Special::ToObject => self.to_object(arguments),
        }
    }

    fn if_(&self, arguments: &[Term]) -> Result<Value, Fault> {
        let [condition, yes, no] = arguments else { return Err(unexpected_count()) };
        let branch = if self.bool(condition, 1)? { yes } else { no };
        self.term(branch)
    }

    /// `wanted` if all arguments are, and its opposite at the first that is not: `and` for true, `or` for false.
    fn all_are(&self, wanted: bool, arguments: &[Term]) -> Result<Value, Fault> {
        for (at, argument) in arguments.iter().enumerate() {
            if self.bool(argument, at + 1)? != wanted {
                return Ok(Value::Bool(!wanted));
            }
        }
        Ok(Value::Bool(wanted))
    }

    fn coalesce(&self, arguments: &[Term]) -> Result<Value, Fault> {
        for argument in arguments {
            let value = self.term(argument)?;
            if !value.is_null() {
                return Ok(value);
            }
        }
        Ok(Value::Null)
    }

    /// `copyIndex()`, `copyIndex(offset)`, `copyIndex(name)`, `copyIndex(name, offset)`.
    fn copy_index(&self, arguments: &[Term]) -> Result<Value, Fault> {
        let values = self.values(arguments)?;
        let loops = self.loops.borrow();
        let (index, offset) = match values.as_slice() {
            [] => (loops.unnamed()?, 0),
            [Value::Int(offset)] => (loops.unnamed()?, *offset),
            [Value::String(name)] => (loops.named(name)?, 0),
            [Value::String(name), Value::Int(offset)] => (loops.named(name)?, *offset),
            _ => {
                let wanted =
                    "it takes the name of a copy loop, an integer offset, or both in this order";
                return Err(Fault::new(wanted));
            }
        };
        let sum = index.checked_add(offset);
        sum.map(Value::Int).ok_or_else(|| Fault::new("the offset is out of range"))
    }

    fn only_name(&self, arguments: &[Term]) -> Result<Arc<str>, Fault> {
        let [name] = arguments else { return Err(unexpected_count()) };
        match self.term(name)? {
            Value::String(name) => Ok(name),
            other => Err(wrong_type(1, "String", &other)),
        }
    }

    /// The truth of the argument with this number.
    pub(super) fn bool(&self, argument: &Term, number: usize) -> Result<bool, Fault> {
        match self.term(argument)? {
            Value::Bool(bool) => Ok(bool),
            other => Err(wrong_type(number, "Boolean", &other)),
        }
    }
}

/// The fault of a number of arguments that [`Entry::check_count`](crate::functions::Entry::check_count) let pass.
pub(super) fn unexpected_count() -> Fault {
    Fault::new("the number of arguments does not fit")
}

pub(super) fn wrong_type(number: usize, expected: &str, found: &Value) -> Fault {
    let found = found.type_name();
    Fault::new(format!("argument {number} must be of type '{expected}', it is of type '{found}'"))
}
