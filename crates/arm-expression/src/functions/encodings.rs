//! Base64, data URIs and percent encoding.

use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

use super::{Arguments, Entry, entry, json, text};
use crate::{error::Fault, value::Value};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("base64", 1..=1, base64),
    entry("base64ToJson", 1..=1, base64_to_json),
    entry("base64ToString", 1..=1, base64_to_string),
    entry("dataUri", 1..=1, data_uri),
    entry("dataUriToString", 1..=1, data_uri_to_string),
    entry("uriComponent", 1..=1, uri_component),
    entry("uriComponentToString", 1..=1, uri_component_to_string),
];

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Padding is necessary, as for .NET; bits beyond the last byte do not matter.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

fn base64(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    encoded(arguments, arguments.string(0)?).map(Value::from)
}

fn encoded(arguments: &Arguments<'_>, text: &str) -> Result<String, Fault> {
    arguments.budget.charge_bytes(text.len().div_ceil(3).saturating_mul(4))?;
    Ok(STANDARD.encode(text))
}

fn base64_to_string(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    decoded_argument(arguments, "base64ToString").map(Value::from)
}

fn base64_to_json(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    json::parse(arguments, "base64ToJson", &decoded_argument(arguments, "base64ToJson")?)
}

fn decoded_argument(arguments: &Arguments<'_>, name: &str) -> Result<String, Fault> {
    decoded(arguments, arguments.string(0)?)?.ok_or_else(|| {
        Fault::new(format!(
            "The template language function '{name}' was invoked with a parameter that is not \
             valid. The value cannot be decoded from base64 representation"
        ))
    })
}

/// The text of base64, in which white space does not matter. `None` if it is not base64.
fn decoded(arguments: &Arguments<'_>, encoded: &str) -> Result<Option<String>, Fault> {
    arguments.budget.charge_bytes(encoded.len())?;
    let dense: Vec<u8> =
        encoded.bytes().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).collect();
    let bytes = LENIENT.decode(dense).ok();
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn data_uri(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let value = arguments.value(0)?;
    text::charge(arguments, value)?;
    let encoded = encoded(arguments, &text::plain(value))?;
    Ok(format!("data:text/plain;charset=utf-8;base64,{encoded}").into())
}

/// The text of a data URI of any media type, in base64 or percent encoding.
fn data_uri_to_string(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let uri = arguments.string(0)?;
    let body = uri.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("data"));
    let Some((kind, data)) = body.and_then(|(_, body)| body.split_once(',')) else {
        return Err(Fault::new(format!(
            "The template language function 'dataUriToString' expects its parameter to be formatted \
             as a valid data URI. The provided value '{uri}' was not formatted correctly"
        )));
    };
    let is_base64 = kind.rsplit(';').next().is_some_and(|last| last.eq_ignore_ascii_case("base64"));
    if !is_base64 {
        return Ok(percent_decoded(data).into());
    }
    decoded(arguments, &percent_decoded(data))?.map(Value::from).ok_or_else(|| {
        Fault::new(
            "The template language function 'dataUriToString' was invoked with a parameter that is \
             not valid. The value cannot be converted to the target type",
        )
    })
}

/// Escapes everything but the unreserved characters of RFC 3986.
fn uri_component(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let text = arguments.string(0)?;
    arguments.budget.charge_bytes(text.len().saturating_mul(3))?;
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escape(byte, &mut escaped);
        }
    }
    Ok(escaped.into())
}

fn escape(byte: u8, text: &mut String) {
    text.push('%');
    text.push(char::from(HEX[usize::from(byte >> 4)]));
    text.push(char::from(HEX[usize::from(byte & 15)]));
}

fn uri_component_to_string(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let text = arguments.string(0)?;
    arguments.budget.charge_bytes(text.len())?;
    Ok(percent_decoded(text).into())
}

/// Replaces escape sequences. Sequences that are not UTF-8 stay, as for .NET.
fn percent_decoded(text: &str) -> String {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let run: Vec<u8> = rest.as_bytes().chunks(3).map_while(escaped_byte).collect();
        if run.is_empty() {
            decoded.push('%');
            rest = &rest[1..];
        }
        for chunk in run.utf8_chunks() {
            decoded.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|byte| escape(*byte, &mut decoded));
        }
        rest = &rest[3 * run.len()..];
    }
    decoded + rest
}

fn escaped_byte(sequence: &[u8]) -> Option<u8> {
    let [b'%', high, low] = sequence else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}
