//! The text of a value, as Azure writes it into strings.

use super::{Arguments, Entry, entry};
use crate::{
    error::Fault,
    notation::{Quote, write},
    value::Value,
};

pub(super) const FUNCTIONS: &[Entry] = &[entry("string", 1..=1, string)];

fn string(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let value = arguments.value(0)?;
    if let Value::String(_) = value {
        return Ok(value.clone());
    }
    charge(arguments, value)?;
    Ok(plain(value).into())
}

/// Charges the bytes of a value's text.
pub(super) fn charge(arguments: &Arguments<'_>, value: &Value) -> Result<(), Fault> {
    arguments.budget.charge_bytes(usize::try_from(value.weight()).unwrap_or(usize::MAX))
}

/// The text that `string` gives: `True` for a boolean, nothing for null, JSON for an object or an
/// array.
pub(super) fn plain(value: &Value) -> String {
    text(value, Quote::Double)
}

/// The text that `format` gives: as [`plain`], but JSON has single quotes.
pub(super) fn formatted(value: &Value) -> String {
    text(value, Quote::Single)
}

fn text(value: &Value, quote: Quote) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.to_string(),
        Value::Float(_) => {
            let json = write(value, quote);
            json.strip_suffix(".0").map(str::to_owned).unwrap_or(json)
        }
        Value::Int(_) | Value::Array(_) | Value::Object(_) => write(value, quote),
    }
}
