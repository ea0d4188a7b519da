//! JSON without white space, in the two forms that template functions give.

use std::fmt::Write as _;

use crate::value::Value;

/// The quotes of strings and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    /// JSON, as `string` gives it.
    Double,
    /// With single quotes, as `format` gives it.
    Single,
}

/// The value as JSON without white space.
///
/// The text is as long as the value's [weight](Value::weight), or up to six times that if it has many control
/// characters: charge the budget first.
pub fn write(value: &Value, quote: Quote) -> String {
    let mut out = String::new();
    write_value(&mut out, value, quote);
    out
}

fn write_value(out: &mut String, value: &Value, quote: Quote) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Float(number) => write_float(out, *number),
        Value::String(text) => write_string(out, text, quote),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(out, item, quote);
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (at, (key, value)) in object.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_string(out, key, quote);
                out.push(':');
                write_value(out, value, quote);
            }
            out.push('}');
        }
    }
}

fn write_string(out: &mut String, text: &str, quote: Quote) {
    let mark = match quote {
        Quote::Double => '"',
        Quote::Single => '\'',
    };
    out.push(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ if c == mark => out.extend(['\\', c]),
            // Newtonsoft's writer escapes these three beside the control characters of JSON.
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push(mark);
}

/// The shortest text that reads back as the same number, with `.0` where it would look whole, and with .NET's form of
/// exponents.
fn write_float(out: &mut String, number: f64) {
    let size = number.abs();
    if number == 0.0 || (1e-5..1e15).contains(&size) {
        let _ = write!(out, "{number:?}");
        return;
    }
    let text = format!("{number:E}");
    let (mantissa, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    let _ = write!(out, "{mantissa}E{sign}{digits:0>2}");
}
