//! Formats of integers in .NET's notation: a letter with a precision, or a pattern.

use super::{Arguments, number_pattern};
use crate::error::Fault;

/// The number in a format that is not empty, with the marks of the invariant culture.
pub(super) fn format(
    arguments: &Arguments<'_>,
    number: i64,
    format: &str,
) -> Result<String, Fault> {
    let mut characters = format.chars();
    let letter = characters.next().filter(char::is_ascii_alphabetic);
    let digits = characters.as_str();
    let is_standard = digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let Some(letter) = letter.filter(|_| is_standard) else {
        arguments.budget.charge_bytes(format.len().saturating_mul(2))?;
        return number_pattern::format(number, format);
    };
    let precision: Option<usize> = digits.parse().ok();
    arguments.budget.charge_bytes(precision.unwrap_or_default())?;
    standard(number, letter, precision).ok_or_else(|| {
        Fault::new(
            "Unable to evaluate language function 'format': the format is invalid: 'Format \
             specifier was invalid.'",
        )
    })
}

fn standard(number: i64, letter: char, precision: Option<usize>) -> Option<String> {
    let minus = if number < 0 { "-" } else { "" };
    let magnitude = number.unsigned_abs().to_string();
    let least = precision.unwrap_or_default();
    let decimals = precision.unwrap_or(2);
    let text = match letter.to_ascii_uppercase() {
        'B' => filled(&format!("{number:b}"), least),
        'C' if number < 0 => format!("(¤{}{})", grouped(&magnitude), zeros(decimals)),
        'C' => format!("¤{}{}", grouped(&magnitude), zeros(decimals)),
        'D' => format!("{minus}{}", filled(&magnitude, least)),
        'E' => format!("{minus}{}", scientific(&magnitude, precision.unwrap_or(6), letter, 3)),
        'F' => format!("{minus}{magnitude}{}", zeros(decimals)),
        'G' => format!("{minus}{}", general(&magnitude, least, letter)),
        'N' => format!("{minus}{}{}", grouped(&magnitude), zeros(decimals)),
        'P' => {
            let hundredfold = (u128::from(number.unsigned_abs()) * 100).to_string();
            format!("{minus}{}{} %", grouped(&hundredfold), zeros(decimals))
        }
        'X' if letter == 'X' => filled(&format!("{number:X}"), least),
        'X' => filled(&format!("{number:x}"), least),
        _ => return None,
    };
    Some(text)
}

/// With zeros on the left. The widths of [`format!`] end at 65,535.
pub(super) fn filled(digits: &str, length: usize) -> String {
    "0".repeat(length.saturating_sub(digits.len())) + digits
}

fn zeros(decimals: usize) -> String {
    if decimals == 0 { String::new() } else { format!(".{}", "0".repeat(decimals)) }
}

/// With a comma before every three digits.
fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// As it is, unless it has more digits than the precision.
fn general(digits: &str, precision: usize, letter: char) -> String {
    if precision == 0 || digits.len() <= precision {
        return digits.to_owned();
    }
    let e = if letter == 'G' { 'E' } else { 'e' };
    let text = scientific(digits, precision - 1, e, 2);
    match text.split_once(e) {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            format!("{}{e}{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// `d.dddE+ddd`, rounded half away from zero.
fn scientific(digits: &str, decimals: usize, e: char, exponent_digits: usize) -> String {
    let mut exponent = digits.len() - 1;
    let kept = digits.len().min(decimals + 1);
    let mut mantissa = digits[..kept].to_owned();
    if digits.as_bytes().get(kept).is_some_and(|digit| *digit >= b'5') {
        mantissa = mantissa.parse::<u64>().map_or(mantissa, |number| (number + 1).to_string());
        if mantissa.len() > kept {
            mantissa.truncate(kept);
            exponent += 1;
        }
    }
    let (first, rest) = mantissa.split_at(1);
    let point = if decimals == 0 { "" } else { "." };
    let zeros = "0".repeat(decimals.saturating_sub(rest.len()));
    format!("{first}{point}{rest}{zeros}{e}+{}", filled(&exponent.to_string(), exponent_digits))
}
