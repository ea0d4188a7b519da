//! Functions that make arrays, and those that take a string or an array alike.

use super::{ANY, Arguments, Entry, casing, entry, text};
use crate::{error::Fault, value::Value};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("array", 1..=1, array),
    entry("createArray", 0..=ANY, |arguments| Ok(arguments.values.to_vec().into())),
    entry("empty", 1..=1, empty),
    entry("first", 1..=1, |arguments| end(arguments, <[Value]>::first, first_unit)),
    entry("flatten", 1..=1, flatten),
    entry("indexFromEnd", 2..=2, index_from_end),
    entry("last", 1..=1, |arguments| end(arguments, <[Value]>::last, last_unit)),
    entry("length", 1..=1, length),
    entry("range", 2..=2, range),
    entry("skip", 2..=2, skip),
    entry("take", 2..=2, take),
    entry("tryIndexFromEnd", 2..=2, |arguments| {
        Ok(from_end(arguments)?.cloned().unwrap_or(Value::Null))
    }),
];

/// The most numbers that `range` makes.
const MAX_RANGE: i64 = 10_000;

/// An array as it is; anything else becomes the only element of one.
fn array(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let value = arguments.value(0)?.clone();
    Ok(if value.as_array().is_some() { value } else { vec![value].into() })
}

/// Null is empty too.
fn empty(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    if arguments.value(0)?.is_null() {
        return Ok(true.into());
    }
    Ok((size(arguments)? == 0).into())
}

fn length(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Ok((size(arguments)? as i64).into())
}

fn size(arguments: &Arguments<'_>) -> Result<usize, Fault> {
    match arguments.value(0)? {
        Value::String(text) => Ok(casing::units(text)),
        Value::Array(array) => Ok(array.len()),
        Value::Object(object) => Ok(object.len()),
        _ => Err(arguments.wrong_type(0, &["String", "Array", "Object"])),
    }
}

/// The first or last element, or null of an empty array; the first or last character, or nothing of
/// an empty string.
fn end(
    arguments: &Arguments<'_>,
    of_array: fn(&[Value]) -> Option<&Value>,
    of_text: fn(&str) -> String,
) -> Result<Value, Fault> {
    match arguments.value(0)? {
        Value::Array(array) => Ok(of_array(array).cloned().unwrap_or(Value::Null)),
        Value::String(text) => Ok(of_text(text).into()),
        _ => Err(arguments.wrong_type(0, &["String", "Array"])),
    }
}

fn first_unit(text: &str) -> String {
    casing::slice(text, 0, 1)
}

fn last_unit(text: &str) -> String {
    casing::slice(text, casing::units(text).saturating_sub(1), 1)
}

/// One level.
fn flatten(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let mut flat = Vec::new();
    for inner in arguments.array(0)?.iter() {
        let elements = inner.as_array().ok_or_else(|| {
            let found = inner.type_name();
            Fault::new(format!("every element must be of type 'Array', one is of type '{found}'"))
        })?;
        text::charge(arguments, inner)?;
        flat.extend_from_slice(elements);
    }
    Ok(flat.into())
}

/// The element at a place counted from the end; the last one is 1.
fn index_from_end(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    from_end(arguments)?.cloned().ok_or_else(|| {
        let (index, length) = (arguments.int(1), arguments.array(0).map(|array| array.len()));
        Fault::new(format!(
            "The language expression property array index '{}' from the end is out of bounds, the \
             array has {} element(s)",
            index.unwrap_or_default(),
            length.unwrap_or_default()
        ))
    })
}

fn from_end<'a>(arguments: &Arguments<'a>) -> Result<Option<&'a Value>, Fault> {
    let (array, index) = (arguments.array(0)?, arguments.int(1)?);
    let place = usize::try_from(index).ok().and_then(|index| array.len().checked_sub(index));
    Ok(place.and_then(|place| array.get(place)))
}

fn range(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let (start, count) = (arguments.int(0)?, arguments.int(1)?);
    if !(0..=MAX_RANGE).contains(&count) {
        let message = format!("the count must be between 0 and {MAX_RANGE}, it is {count}");
        return Err(Fault::new(message));
    }
    match start.checked_add(count).filter(|end| *end <= i64::from(i32::MAX)) {
        Some(end) => Ok((start..end).map(Value::Int).collect::<Vec<_>>().into()),
        None => Err(Fault::new(format!(
            "the sum of start and count must not exceed {}, the arguments are {start} and {count}",
            i32::MAX
        ))),
    }
}

/// All of a number of 0 or less; nothing of one that is too large.
fn skip(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let count = clamped(arguments)?;
    match arguments.value(0)? {
        Value::String(text) => Ok(casing::slice(text, count, usize::MAX).into()),
        Value::Array(array) => Ok(array[count.min(array.len())..].to_vec().into()),
        _ => Err(arguments.wrong_type(0, &["String", "Array"])),
    }
}

/// Nothing of a number of 0 or less; all of one that is too large.
fn take(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let count = clamped(arguments)?;
    match arguments.value(0)? {
        Value::String(text) => Ok(casing::slice(text, 0, count).into()),
        Value::Array(array) => Ok(array[..count.min(array.len())].to_vec().into()),
        _ => Err(arguments.wrong_type(0, &["String", "Array"])),
    }
}

fn clamped(arguments: &Arguments<'_>) -> Result<usize, Fault> {
    Ok(usize::try_from(arguments.int(1)?.max(0)).unwrap_or(usize::MAX))
}
