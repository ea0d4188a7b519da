//! Dates and times. All results are in UTC.

mod duration;
mod pattern;
mod read;
#[cfg(test)]
mod tests;

use jiff::{
    SignedDuration,
    civil::{DateTime, date},
    tz::Offset,
};

use super::{Arguments, Entry, entry};
use crate::{environment::Place, error::Fault, value::Value};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("dateTimeAdd", 2..=3, add),
    entry("dateTimeFromEpoch", 1..=1, from_epoch),
    entry("dateTimeToEpoch", 1..=1, to_epoch),
    entry("utcNow", 0..=1, utc_now),
];

const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

const ISO: &str = "yyyy-MM-ddTHH:mm:ssZ";
const COMPACT: &str = "yyyyMMddTHHmmssZ";

/// A time after another, or before it if the duration is negative. Years and months go by the
/// calendar: a month after January 31st is the end of February.
fn add(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let base = date_of(arguments, "dateTimeAdd")?;
    let text = arguments.string(1)?;
    let duration = duration::parse(text).ok_or_else(|| {
        invalid("dateTimeAdd", "second", text, "is not a valid ISO8601 Duration string")
    })?;
    let sum = base.checked_add(duration).ok().filter(in_range).ok_or_else(|| {
        Fault::new(format!("the result of {base} and '{text}' is outside of the years 1 to 9999"))
    })?;
    formatted(arguments, "dateTimeAdd", 2, sum, ISO)
}

fn from_epoch(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let seconds = arguments.int(0)?;
    let instant = EPOCH.checked_add(SignedDuration::from_secs(seconds)).ok();
    let instant = instant.filter(in_range).ok_or_else(|| {
        Fault::new(format!("{seconds} seconds from 1970 are outside of the years 1 to 9999"))
    })?;
    formatted(arguments, "dateTimeFromEpoch", 1, instant, ISO)
}

fn to_epoch(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let date = date_of(arguments, "dateTimeToEpoch")?;
    let since = date.duration_since(EPOCH);
    // A part of a second before 1970 belongs to the second before it.
    Ok((since.as_secs() - i64::from(since.subsec_nanos() < 0)).into())
}

/// The instant of the deployment. Elsewhere than in a parameter's default, a second deployment of
/// the same template would differ from the first.
fn utc_now(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    if arguments.environment.place != Place::ParameterDefault {
        return Err(Fault::new(
            "The template function 'utcNow' is not expected at this location. It can only be used \
             in the default value of a parameter",
        ));
    }
    let now = Offset::UTC.to_datetime(arguments.environment.now);
    formatted(arguments, "utcNow", 0, now, COMPACT)
}

fn in_range(date: &DateTime) -> bool {
    date.year() >= 1
}

fn date_of(arguments: &Arguments<'_>, function: &str) -> Result<DateTime, Fault> {
    let text = arguments.string(0)?;
    read::date(text)
        .filter(in_range)
        .ok_or_else(|| invalid(function, "first", text, "is not a valid date and time"))
}

/// The date in the format of the argument at `index` if there is one, else in the function's own.
fn formatted(
    arguments: &Arguments<'_>,
    function: &str,
    index: usize,
    date: DateTime,
    own: &str,
) -> Result<Value, Fault> {
    let format = if arguments.values.len() > index { arguments.string(index)? } else { own };
    arguments.budget.charge_bytes(format.len().saturating_mul(4))?;
    pattern::write(&date, format).map(Value::from).ok_or_else(|| {
        let place = if index == 0 { "first" } else { "third" };
        invalid(function, place, format, "is not a valid format of a date and time")
    })
}

fn invalid(function: &str, place: &str, text: &str, reason: &str) -> Fault {
    Fault::new(format!(
        "The template function '{function}' has an invalid parameter. The {place} parameter \
         '{text}' {reason}"
    ))
}
