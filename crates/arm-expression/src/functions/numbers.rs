//! Arithmetic with 64-bit integers.

use super::{ANY, Arguments, Entry, entry};
use crate::{error::Fault, value::Value};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("add", 2..=2, |arguments| calculate(arguments, "add", i64::checked_add)),
    entry("div", 2..=2, |arguments| divide(arguments, "div", i64::checked_div)),
    entry("float", 1..=1, float),
    entry("int", 1..=1, int),
    entry("max", 1..=ANY, |arguments| extreme(arguments, |numbers| numbers.into_iter().max())),
    entry("min", 1..=ANY, |arguments| extreme(arguments, |numbers| numbers.into_iter().min())),
    entry("mod", 2..=2, |arguments| divide(arguments, "mod", i64::checked_rem)),
    entry("mul", 2..=2, |arguments| calculate(arguments, "mul", i64::checked_mul)),
    entry("sub", 2..=2, |arguments| calculate(arguments, "sub", i64::checked_sub)),
];

type Operation = fn(i64, i64) -> Option<i64>;

fn calculate(arguments: &Arguments<'_>, name: &str, operate: Operation) -> Result<Value, Fault> {
    let result = operate(arguments.int(0)?, arguments.int(1)?);
    result.map(Value::Int).ok_or_else(|| {
        Fault::new(format!(
            "The template language function '{name}' overflowed: the result is not a 64-bit integer"
        ))
    })
}

/// Division rounds toward zero; the remainder has the sign of the dividend.
fn divide(arguments: &Arguments<'_>, name: &str, operate: Operation) -> Result<Value, Fault> {
    if arguments.int(1)? == 0 {
        return Err(Fault::new(format!(
            "The template language function '{name}' cannot divide by zero"
        )));
    }
    calculate(arguments, name, operate)
}

/// An integer, or its decimal text.
fn int(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let refused = |text: &str| {
        Fault::new(format!(
            "The template language function 'int' cannot convert provided value '{text}' to \
             integer value"
        ))
    };
    match arguments.value(0)? {
        Value::Int(number) => Ok(Value::Int(*number)),
        Value::String(text) => text.trim().parse().map(Value::Int).map_err(|_| refused(text)),
        Value::Float(number) => Err(refused(&number.to_string())),
        _ => Err(arguments.wrong_type(0, &["Integer", "String"])),
    }
}

/// A number, or its decimal text. Other functions do not take the result unless it is whole in the
/// template's own text.
fn float(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    match arguments.value(0)? {
        Value::Int(number) => Ok(Value::Float(*number as f64)),
        Value::Float(number) => Ok(Value::Float(*number)),
        Value::String(text) => {
            let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            number.map(Value::Float).ok_or_else(|| {
                Fault::new(format!(
                    "The template language function 'float' cannot convert provided value \
                     '{text}' to a number"
                ))
            })
        }
        _ => Err(arguments.wrong_type(0, &["Integer", "Float", "String"])),
    }
}

/// Of the integers of an array, or of the arguments.
fn extreme(arguments: &Arguments<'_>, choose: fn(Vec<i64>) -> Option<i64>) -> Result<Value, Fault> {
    let values = match arguments.values {
        [Value::Array(array)] => array,
        values => values,
    };
    let numbers: Option<Vec<i64>> = values.iter().map(Value::as_int).collect();
    let numbers = numbers.ok_or_else(|| {
        Fault::new("the arguments must be integers, or one array of integers only")
    })?;
    choose(numbers).map(Value::Int).ok_or_else(|| Fault::new("the array must not be empty"))
}
