//! Dates and times as people and programs write them.

use jiff::{
    SignedDuration,
    civil::{Date, DateTime, Time},
    fmt::{rfc2822, temporal::Pieces},
    tz::Offset,
};

/// ISO 8601 with or without separators, RFC 1123, or the American form that .NET writes without a
/// culture. A time without an offset is in UTC.
pub(super) fn date(text: &str) -> Option<DateTime> {
    let text = text.trim();
    iso(text).or_else(|| rfc_1123(text)).or_else(|| american(text))
}

fn iso(text: &str) -> Option<DateTime> {
    // A name of a time zone in brackets is an extension that .NET does not know.
    if text.contains('[') {
        return None;
    }
    let pieces = Pieces::parse(text).ok()?;
    let local = pieces.date().to_datetime(pieces.time().unwrap_or_else(Time::midnight));
    let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
    local.checked_sub(SignedDuration::from_secs(offset.seconds().into())).ok()
}

fn rfc_1123(text: &str) -> Option<DateTime> {
    rfc2822::parse(text).ok().map(|zoned| Offset::UTC.to_datetime(zoned.timestamp()))
}

/// `4/7/2020`, `4/7/2020 2:53 PM`, `04/07/2020 14:53:14`.
fn american(text: &str) -> Option<DateTime> {
    let mut words = text.split_whitespace();
    let day: Vec<i16> = numbers(words.next()?, '/')?;
    let [month, day, year] = day[..] else { return None };
    let date = Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()?;
    let Some(time) = words.next() else { return Some(date.to_datetime(Time::midnight())) };
    let time: Vec<i8> = numbers(time, ':')?;
    let (hour, minute, second) = match time[..] {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let hour = match words.next() {
        None => hour,
        Some(half) if (1..=12).contains(&hour) && half.eq_ignore_ascii_case("AM") => hour % 12,
        Some(half) if (1..=12).contains(&hour) && half.eq_ignore_ascii_case("PM") => hour % 12 + 12,
        Some(_) => return None,
    };
    if words.next().is_some() {
        return None;
    }
    Some(date.to_datetime(Time::new(hour, minute, second, 0).ok()?))
}

fn numbers<N: std::str::FromStr>(text: &str, separator: char) -> Option<Vec<N>> {
    text.split(separator).map(|number| number.parse().ok()).collect()
}
