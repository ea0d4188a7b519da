//! Durations of ISO 8601: `P1Y2M3DT4H5M6.5S`, `P2W`, `-PT1H`.

use jiff::Span;

/// The units in their order, in the part of the date and in the part of the time.
const DATE_UNITS: &str = "YMWD";
const TIME_UNITS: &str = "HMS";

pub(super) fn parse(text: &str) -> Option<Span> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let body = text.strip_prefix('P')?;
    let (date, time) = match body.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (body, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let span = read(date, DATE_UNITS, Span::new(), date_unit)?;
    let span = read(time, TIME_UNITS, span, time_unit)?;
    Some(if is_negative { -span } else { span })
}

type Add = fn(Span, char, &str) -> Option<Span>;

/// Each unit may occur once, in the given order.
fn read(mut text: &str, mut units: &str, mut span: Span, add: Add) -> Option<Span> {
    while !text.is_empty() {
        let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = text[at..].chars().next()?;
        let place = units.find(unit)?;
        units = &units[place + 1..];
        span = add(span, unit, &text[..at])?;
        text = &text[at + 1..];
    }
    Some(span)
}

fn date_unit(span: Span, unit: char, number: &str) -> Option<Span> {
    let number: i64 = number.parse().ok()?;
    match unit {
        'Y' => span.try_years(number),
        'M' => span.try_months(number),
        'W' => span.try_weeks(number),
        _ => span.try_days(number),
    }
    .ok()
}

fn time_unit(span: Span, unit: char, number: &str) -> Option<Span> {
    if unit == 'S' {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let nanoseconds: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        let span = span.try_seconds(whole.parse::<i64>().ok()?).ok()?;
        return span.try_nanoseconds(nanoseconds).ok();
    }
    let number: i64 = number.parse().ok()?;
    if unit == 'H' { span.try_hours(number) } else { span.try_minutes(number) }.ok()
}
