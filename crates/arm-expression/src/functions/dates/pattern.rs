//! Formats of dates in .NET's notation: a letter for a standard form, or a pattern. The names of
//! days and months are those of the invariant culture.

use jiff::civil::{DateTime, Weekday};

use crate::functions::number_format::filled;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The date in a format; `None` if there is no such format.
pub(super) fn write(date: &DateTime, format: &str) -> Option<String> {
    let mut letters = format.chars();
    match (letters.next(), letters.next()) {
        (None, _) => pattern(date, standard('G')?),
        (Some(letter), None) => pattern(date, standard(letter)?),
        _ => pattern(date, format),
    }
}

/// The pattern of a standard form.
fn standard(letter: char) -> Option<&'static str> {
    let pattern = match letter {
        'd' => "MM/dd/yyyy",
        'D' => "dddd, dd MMMM yyyy",
        'f' => "dddd, dd MMMM yyyy HH:mm",
        'F' | 'U' => "dddd, dd MMMM yyyy HH:mm:ss",
        'g' => "MM/dd/yyyy HH:mm",
        'G' => "MM/dd/yyyy HH:mm:ss",
        'M' | 'm' => "MMMM dd",
        'O' | 'o' => "yyyy-MM-ddTHH:mm:ss.fffffffK",
        'R' | 'r' => "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
        's' => "yyyy-MM-ddTHH:mm:ss",
        't' => "HH:mm",
        'T' => "HH:mm:ss",
        'u' => "yyyy-MM-dd HH:mm:ssZ",
        'Y' | 'y' => "yyyy MMMM",
        _ => return None,
    };
    Some(pattern)
}

fn pattern(date: &DateTime, mut rest: &str) -> Option<String> {
    let mut text = String::new();
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            '\\' => {
                let escaped = rest.chars().next()?;
                text.push(escaped);
                rest = &rest[escaped.len_utf8()..];
            }
            '\'' | '"' => {
                let (quoted, after) = rest.split_once(letter)?;
                text.push_str(quoted);
                rest = after;
            }
            // Makes a pattern of a single letter.
            '%' => {
                if matches!(rest.chars().next()?, '%') {
                    return None;
                }
            }
            'd' | 'f' | 'F' | 'g' | 'h' | 'H' | 'K' | 'm' | 'M' | 's' | 't' | 'y' | 'z' => {
                let after = rest.trim_start_matches(|next| next == letter && letter != 'K');
                let count = 1 + rest.len() - after.len();
                rest = after;
                field(date, letter, count, &mut text)?;
            }
            other => text.push(other),
        }
    }
    Some(text)
}

fn field(date: &DateTime, letter: char, count: usize, text: &mut String) -> Option<()> {
    let half = if date.hour() < 12 { "AM" } else { "PM" };
    let month = MONTHS[usize::try_from(date.month() - 1).ok()?];
    let day = weekday(date.weekday());
    // Two digits are the most for these.
    let short = |number: i8| if count == 1 { number.to_string() } else { format!("{number:02}") };
    match letter {
        'd' if count <= 2 => text.push_str(&short(date.day())),
        'd' => text.push_str(if count == 3 { &day[..3] } else { day }),
        'f' | 'F' => fraction(date, letter, count, text)?,
        'g' => text.push_str("A.D."),
        'h' => text.push_str(&short((date.hour() + 11) % 12 + 1)),
        'H' => text.push_str(&short(date.hour())),
        'K' => text.push('Z'),
        'm' => text.push_str(&short(date.minute())),
        'M' if count <= 2 => text.push_str(&short(date.month())),
        'M' => text.push_str(if count == 3 { &month[..3] } else { month }),
        's' => text.push_str(&short(date.second())),
        't' => text.push_str(if count == 1 { &half[..1] } else { half }),
        'y' if count == 1 => text.push_str(&(date.year() % 100).to_string()),
        'y' if count == 2 => text.push_str(&format!("{:02}", date.year() % 100)),
        'y' => text.push_str(&filled(&date.year().to_string(), count)),
        _ => text.push_str(match count {
            1 => "+0",
            2 => "+00",
            _ => "+00:00",
        }),
    }
    Some(())
}

fn weekday(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

/// Parts of a second. `F` leaves out zeros at the end, and then a point before them.
fn fraction(date: &DateTime, letter: char, count: usize, text: &mut String) -> Option<()> {
    if count > 7 {
        return None;
    }
    let digits = format!("{:09}", date.subsec_nanosecond());
    let digits = &digits[..count];
    if letter == 'f' {
        text.push_str(digits);
        return Some(());
    }
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() && text.ends_with('.') {
        text.pop();
    }
    text.push_str(digits);
    Some(())
}
