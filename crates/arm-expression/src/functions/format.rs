//! `format`: composite formatting of .NET.

use super::{ANY, Arguments, Entry, casing, entry, number_format, text};
use crate::{error::Fault, value::Value};

pub(super) const FUNCTIONS: &[Entry] = &[entry("format", 1..=ANY, format)];

/// The widest column and the highest index of an argument, as in .NET.
const MAX_NUMBER: usize = 1_000_000;

const INCORRECT: &str = "Input string was not in a correct format.";
const OUT_OF_RANGE: &str = "Index (zero based) must be greater than or equal to zero and less than \
                            the size of the argument list.";

fn format(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let mut rest = &**arguments.string(0)?;
    arguments.budget.charge_bytes(rest.len())?;
    let mut formatted = String::new();
    while let Some(at) = rest.find(['{', '}']) {
        formatted.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            formatted.push_str(brace);
            rest = after;
            continue;
        }
        let (item, after) = match brace {
            "{" => rest.split_once('}').ok_or_else(|| invalid(INCORRECT))?,
            _ => return Err(invalid(INCORRECT)),
        };
        formatted.push_str(&Item::parse(item)?.text(arguments)?);
        rest = after;
    }
    formatted.push_str(rest);
    Ok(formatted.into())
}

fn invalid(reason: &str) -> Fault {
    Fault::new(format!(
        "Unable to evaluate language function 'format': the format is invalid: '{reason}'"
    ))
}

/// `index[,width][:format]`; a negative width aligns on the left.
struct Item<'a> {
    index: usize,
    width: usize,
    is_left: bool,
    format: &'a str,
}

impl<'a> Item<'a> {
    fn parse(item: &'a str) -> Result<Self, Fault> {
        let (head, format) = item.split_once(':').unwrap_or((item, ""));
        if item.contains('{') || head.starts_with(' ') {
            return Err(invalid(INCORRECT));
        }
        let (index, width) = match head.split_once(',') {
            Some((index, width)) => (index, width.trim_matches(' ')),
            None => (head, "0"),
        };
        let (is_left, width) = match width.strip_prefix('-') {
            Some(width) => (true, width),
            None => (false, width),
        };
        Ok(Self {
            index: number(index.trim_end_matches(' '))?,
            width: number(width)?,
            is_left,
            format,
        })
    }

    fn text(&self, arguments: &Arguments<'_>) -> Result<String, Fault> {
        let value = arguments.values.get(self.index + 1).ok_or_else(|| invalid(OUT_OF_RANGE))?;
        text::charge(arguments, value)?;
        let text = match value {
            Value::Int(number) if !self.format.is_empty() => {
                number_format::format(arguments, *number, self.format)?
            }
            _ => text::formatted(value),
        };
        let missing = self.width.saturating_sub(casing::units(&text));
        arguments.budget.charge_bytes(missing)?;
        let padding = " ".repeat(missing);
        Ok(if self.is_left { text + &padding } else { padding + &text })
    }
}

fn number(digits: &str) -> Result<usize, Fault> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_number { digits.parse().ok() } else { None };
    number.filter(|number| *number < MAX_NUMBER).ok_or_else(|| invalid(INCORRECT))
}
