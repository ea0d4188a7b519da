//! Truth, and comparison of values. `if`, `and`, `or` and `coalesce` are lazy and belong to the
//! evaluator.

use std::cmp::Ordering;

use super::{Arguments, Entry, entry};
use crate::{
    error::Fault,
    value::{Value, same_name},
};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("bool", 1..=1, bool),
    entry("equals", 2..=2, equals),
    entry("fail", 1..=1, fail),
    entry("false", 0..=0, |_| Ok(Value::Bool(false))),
    entry("greater", 2..=2, |arguments| Ok((compare(arguments)? == Ordering::Greater).into())),
    entry("greaterOrEquals", 2..=2, |arguments| Ok((compare(arguments)? != Ordering::Less).into())),
    entry("less", 2..=2, |arguments| Ok((compare(arguments)? == Ordering::Less).into())),
    entry("lessOrEquals", 2..=2, |arguments| Ok((compare(arguments)? != Ordering::Greater).into())),
    entry("not", 1..=1, |arguments| Ok((!arguments.bool(0)?).into())),
    entry("null", 0..=0, |_| Ok(Value::Null)),
    entry("true", 0..=0, |_| Ok(Value::Bool(true))),
];

/// A boolean, the integers 1 and 0, or the words `true` and `false` in any case.
fn bool(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let converted = match arguments.value(0)? {
        Value::Bool(bool) => Some(*bool),
        Value::Int(1) => Some(true),
        Value::Int(0) => Some(false),
        Value::String(text) if same_name(text, "true") => Some(true),
        Value::String(text) if same_name(text, "false") => Some(false),
        _ => None,
    };
    converted.map(Value::Bool).ok_or_else(|| {
        Fault::new(
            "The template language function 'bool' was invoked with a parameter that is not valid. \
             The value cannot be converted to the target type",
        )
    })
}

/// Strict on types, with regard to case, in depth.
fn equals(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Ok((arguments.value(0)? == arguments.value(1)?).into())
}

/// Fails with the given message. Under a lazy function it fails only when it is needed.
fn fail(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Err(Fault::new(format!(
        "The template language function 'fail' was called: {}",
        arguments.string(0)?
    )))
}

/// The order of two integers, or of two strings by UTF-16 unit.
fn compare(arguments: &Arguments<'_>) -> Result<Ordering, Fault> {
    match (arguments.value(0)?, arguments.value(1)?) {
        (Value::Int(one), Value::Int(other)) => Ok(one.cmp(other)),
        (Value::String(one), Value::String(other)) => {
            Ok(one.encode_utf16().cmp(other.encode_utf16()))
        }
        (one, other) => Err(Fault::new(format!(
            "expects two integers or two strings, the arguments are of type '{}' and '{}'",
            one.type_name(),
            other.type_name()
        ))),
    }
}
