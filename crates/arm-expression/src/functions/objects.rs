//! Functions that make objects and look into them.

use std::cmp::Ordering;

use super::{ANY, Arguments, Entry, entry, text};
use crate::{
    error::Fault,
    value::{Object, Value},
};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("createObject", 0..=ANY, create_object),
    entry("items", 1..=1, items),
    entry("objectKeys", 1..=1, object_keys),
    entry("tryGet", 2..=ANY, try_get),
];

/// Keys and values by turns.
fn create_object(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let (pairs, rest) = arguments.values.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::new(format!(
            "keys and values must come in pairs, there are {} arguments",
            arguments.values.len()
        )));
    }
    let mut object = Object::new();
    for (index, [_, value]) in pairs.iter().enumerate() {
        object.insert(arguments.string(2 * index)?.clone(), value.clone());
    }
    Ok(object.into())
}

/// `{key, value}` of each member, ordered by key.
fn items(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let object = arguments.object(0)?;
    text::charge(arguments, &arguments.values[0])?;
    let items = sorted(object).into_iter().map(|(key, value)| {
        let item = [("key", Value::from(key)), ("value", value.clone())];
        Value::Object(item.into_iter().collect())
    });
    Ok(items.collect::<Vec<_>>().into())
}

fn object_keys(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let keys = sorted(arguments.object(0)?).into_iter().map(|(key, _)| Value::from(key));
    Ok(keys.collect::<Vec<_>>().into())
}

fn sorted(object: &Object) -> Vec<(&str, &Value)> {
    let mut members: Vec<_> = object.iter().map(|(key, value)| (&**key, value)).collect();
    members.sort_by(|(one, _), (other, _)| compare_keys(one, other));
    members
}

/// The order of ASCII characters other than letters and digits in a comparison by a culture.
const PUNCTUATION: &str = "\t\n\u{b}\u{c}\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";

/// As .NET compares text by the invariant culture: punctuation, then digits, then letters, without
/// regard to case; if that is all the difference, lower case comes first.
fn compare_keys(one: &str, other: &str) -> Ordering {
    let primary = |text: &str| text.chars().map(primary_weight).collect::<Vec<_>>();
    let is_upper = |text: &str| text.chars().map(char::is_uppercase).collect::<Vec<_>>();
    primary(one)
        .cmp(&primary(other))
        .then_with(|| is_upper(one).cmp(&is_upper(other)))
        .then_with(|| one.cmp(other))
}

fn primary_weight(character: char) -> u32 {
    let lower = character.to_lowercase().next().unwrap_or(character);
    match PUNCTUATION.find(lower) {
        Some(place) => place as u32,
        None => u32::from(lower) + 0x80,
    }
}

/// Follows keys and indices. Where one is missing, the result is null, whatever comes after it.
fn try_get(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let mut value = arguments.value(0)?;
    for index in 1..arguments.values.len() {
        let found = match (value, arguments.value(index)?) {
            (Value::Null, Value::String(_) | Value::Int(_)) => None,
            (Value::Object(object), Value::String(key)) => object.get(key),
            (Value::Array(array), Value::Int(place)) => {
                usize::try_from(*place).ok().and_then(|place| array.get(place))
            }
            (value, key) => {
                return Err(Fault::new(format!(
                    "argument {} of type '{}' cannot select from a value of type '{}'",
                    index + 1,
                    key.type_name(),
                    value.type_name()
                )));
            }
        };
        match found {
            Some(found) => value = found,
            None => return Ok(Value::Null),
        }
    }
    Ok(value.clone())
}
