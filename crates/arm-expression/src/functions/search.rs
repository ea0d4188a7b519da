//! Functions that search strings, arrays and objects. Whether case matters differs: for `contains`
//! it does in a string but not in an object's keys; for the others it does not.

use super::{Arguments, Entry, casing, entry};
use crate::{
    error::Fault,
    value::{Value, fold_name},
};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("contains", 2..=2, contains),
    entry("endsWith", 2..=2, ends_with),
    entry("indexOf", 2..=2, index_of),
    entry("lastIndexOf", 2..=2, last_index_of),
    entry("like", 2..=2, like),
    entry("startsWith", 2..=2, starts_with),
];

/// Whether a string has this part, an array this element, or an object this key.
fn contains(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let contains = match arguments.value(0)? {
        Value::String(text) => text.contains(&**arguments.string(1)?),
        Value::Array(array) => array.contains(arguments.value(1)?),
        Value::Object(object) => object.get(arguments.string(1)?).is_some(),
        _ => return Err(arguments.wrong_type(0, &["String", "Array", "Object"])),
    };
    Ok(contains.into())
}

fn starts_with(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let (text, start) = (fold_name(arguments.string(0)?), fold_name(arguments.string(1)?));
    Ok(text.starts_with(&*start).into())
}

fn ends_with(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let (text, end) = (fold_name(arguments.string(0)?), fold_name(arguments.string(1)?));
    Ok(text.ends_with(&*end).into())
}

/// The first place of a part or an element; -1 if there is none.
fn index_of(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    place(
        arguments,
        |text, part| text.find(part),
        |array, item| array.iter().position(|other| other == item),
    )
}

/// The last place of a part or an element; -1 if there is none.
fn last_index_of(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    place(
        arguments,
        |text, part| text.rfind(part),
        |array, item| array.iter().rposition(|other| other == item),
    )
}

fn place(
    arguments: &Arguments<'_>,
    in_text: fn(&str, &str) -> Option<usize>,
    in_array: fn(&[Value], &Value) -> Option<usize>,
) -> Result<Value, Fault> {
    let at = match arguments.value(0)? {
        Value::String(text) => {
            let (text, part) = (fold_name(text), fold_name(arguments.string(1)?));
            in_text(&text, &part).map(|at| casing::units(&text[..at]))
        }
        Value::Array(array) => in_array(array, arguments.value(1)?),
        _ => return Err(arguments.wrong_type(0, &["String", "Array"])),
    };
    Ok(at.map_or(-1, |at| at as i64).into())
}

/// Whether a string has the form of a pattern, in which `*` stands for any characters.
fn like(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let (text, pattern) = (fold_name(arguments.string(0)?), fold_name(arguments.string(1)?));
    Ok(matches_pattern(&text, &pattern).into())
}

/// Takes each part at its first place, which leaves most for the parts after it.
fn matches_pattern(text: &str, pattern: &str) -> bool {
    let Some((start, pattern)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut rest) = text.strip_prefix(start) else { return false };
    let (middle, end) = pattern.rsplit_once('*').unwrap_or(("", pattern));
    for part in middle.split('*') {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(end)
}
