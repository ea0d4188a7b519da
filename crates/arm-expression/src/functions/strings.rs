//! Functions that make strings from strings.

use super::{ANY, Arguments, Entry, casing, entry, text};
use crate::{error::Fault, value::Value};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("concat", 1..=ANY, concat),
    entry("join", 2..=2, join),
    entry("padLeft", 2..=3, pad_left),
    entry("replace", 3..=3, replace),
    entry("split", 2..=2, split),
    entry("substring", 2..=3, substring),
    entry("toLower", 1..=1, |arguments| Ok(casing::lower(arguments.string(0)?).into())),
    entry("toUpper", 1..=1, |arguments| Ok(casing::upper(arguments.string(0)?).into())),
    entry("trim", 1..=1, |arguments| Ok(arguments.string(0)?.trim().into())),
];

/// Bytes of a string in an array beside its text.
const PART_BYTES: usize = 48;

/// Joins arrays, or the texts of strings, integers and booleans.
fn concat(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let arrays = arguments.values.iter().filter(|value| value.as_array().is_some()).count();
    if arrays == arguments.values.len() {
        let mut joined = Vec::new();
        for value in arguments.values {
            text::charge(arguments, value)?;
            joined.extend(value.as_array().into_iter().flat_map(|array| array.iter()).cloned());
        }
        return Ok(joined.into());
    }
    if arrays > 0 {
        return Err(Fault::new("either all or none of the arguments must be arrays"));
    }
    Ok(joined(arguments, arguments.values, "")?.into())
}

/// Strings, integers and booleans of an array, with a delimiter between them.
fn join(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Ok(joined(arguments, arguments.array(0)?, arguments.string(1)?)?.into())
}

fn joined(arguments: &Arguments<'_>, parts: &[Value], between: &str) -> Result<String, Fault> {
    let mut bytes = between.len().saturating_mul(parts.len());
    for part in parts {
        if part.depth() > 0 {
            return Err(Fault::new(format!(
                "strings, integers and booleans can be joined, values of type '{}' cannot",
                part.type_name()
            )));
        }
        bytes = bytes.saturating_add(part.as_str().map_or(20, str::len));
    }
    arguments.budget.charge_bytes(bytes)?;
    Ok(parts.iter().map(text::plain).collect::<Vec<_>>().join(between))
}

/// Fills up a string or an integer on the left. A longer text stays as it is.
fn pad_left(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let padded = match arguments.value(0)? {
        value @ (Value::String(_) | Value::Int(_)) => text::plain(value),
        _ => return Err(arguments.wrong_type(0, &["String", "Integer"])),
    };
    let length = usize::try_from(arguments.int(1)?)
        .map_err(|_| Fault::new("the length must not be negative"))?;
    let filler = if arguments.values.len() > 2 { arguments.string(2)? } else { " " };
    if casing::units(filler) != 1 {
        return Err(Fault::new("argument 3 must be a single character"));
    }
    let missing = length.saturating_sub(casing::units(&padded));
    arguments.budget.charge_bytes(missing.saturating_mul(filler.len()))?;
    Ok((filler.repeat(missing) + &padded).into())
}

/// Replaces every occurrence, with regard to case.
fn replace(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let (text, old, new) = (arguments.string(0)?, arguments.string(1)?, arguments.string(2)?);
    if old.is_empty() {
        return Err(Fault::new("argument 2 must not be empty"));
    }
    let grown = text.matches(&**old).count().saturating_mul(new.len());
    arguments.budget.charge_bytes(text.len().saturating_add(grown))?;
    Ok(text.replace(&**old, new).into())
}

/// Splits at a delimiter, or at any of several. Empty parts stay.
fn split(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let text = arguments.string(0)?;
    let mut delimiters = match arguments.value(1)? {
        Value::String(delimiter) => vec![&**delimiter],
        Value::Array(_) => arguments.strings(1)?,
        _ => return Err(arguments.wrong_type(1, &["String", "Array"])),
    };
    delimiters.retain(|delimiter| !delimiter.is_empty());
    arguments.budget.charge_steps((text.len() * delimiters.len() / 64) as u64)?;
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(character) = text[at..].chars().next() {
        match delimiters.iter().find(|delimiter| text[at..].starts_with(**delimiter)) {
            Some(delimiter) => {
                arguments.budget.charge_bytes(PART_BYTES + at - start)?;
                parts.push(Value::from(&text[start..at]));
                at += delimiter.len();
                start = at;
            }
            None => at += character.len_utf8(),
        }
    }
    parts.push(Value::from(&text[start..]));
    Ok(parts.into())
}

/// A part of a string. It must lie inside.
fn substring(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let text = arguments.string(0)?;
    let length = casing::units(text);
    let start = arguments.int(1)?;
    let rest = || (length as i64).saturating_sub(start);
    let count = if arguments.values.len() > 2 { arguments.int(2)? } else { rest() };
    let inside = usize::try_from(start).ok().zip(usize::try_from(count).ok());
    match inside.filter(|(start, count)| start.saturating_add(*count) <= length) {
        Some((start, count)) => Ok(casing::slice(text, start, count).into()),
        None => Err(Fault::new(format!(
            "The index and length parameters must refer to a location within the string. The index \
             parameter: '{start}', the length parameter: '{count}', the length of the string \
             parameter: '{length}'"
        ))),
    }
}
