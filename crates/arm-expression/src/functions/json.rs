//! `json`: text that is read as a value.

use super::{Arguments, Entry, entry};
use crate::{error::Fault, notation::read_value, value::Value};

pub(super) const FUNCTIONS: &[Entry] =
    &[entry("json", 1..=1, |arguments| parse(arguments, "json", arguments.string(0)?))];

/// The value of a JSON text, with the freedoms that a template has too.
pub(super) fn parse(arguments: &Arguments<'_>, function: &str, text: &str) -> Result<Value, Fault> {
    arguments.budget.charge_bytes(text.len())?;
    // The place in this text would be read as one in the template.
    read_value(text, arguments.budget.limits()).map_err(|error| {
        Fault::of(
            error.kind,
            format!(
                "The template language function '{function}' parameter is not valid. The provided \
                 value cannot be parsed as JSON: {error}"
            ),
        )
    })
}
