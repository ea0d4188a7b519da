//! Durations on the command line: a number and a unit.

use std::time::Duration;

/// Parses `90s`, `30m`, `12h` or `7d`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 90s, 30m, 12h or 7d");
    let split =
        text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// The limits leave time for a renewal, and keep the wait for a takeover acceptable.
pub(crate) fn lease(text: &str) -> Result<Duration, String> {
    let time = parse(text)?;
    match time.as_secs() {
        3..=3600 => Ok(time),
        _ => Err(format!("{text:?} is not between 3s and 1h")),
    }
}

/// Between two seconds, because tokens carry whole seconds, and a day.
pub(crate) fn token_lifetime(text: &str) -> Result<Duration, String> {
    let time = parse(text)?;
    match time.as_secs() {
        2..=86_400 => Ok(time),
        _ => Err(format!("{text:?} is not between 2s and 24h")),
    }
}

/// Formats seconds: `3.2 s`, `4 min 10 s`, `3 h 0 min`, `2 d`.
pub(crate) fn human(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small and positive"
    )]
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d", whole / 86_400),
    }
}

/// Formats bytes: `812 B`, `1.4 MiB`, `2.1 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn parse_requires_a_unit() {
        assert_eq!(parse("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(parse("7d").unwrap(), Duration::from_secs(604_800));
        for wrong in
            ["", "5", "m", "1.5h", "3w", "é", "99999999999999999999d", "999999999999999999d"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_and_sizes_have_readable_units() {
        assert_eq!(human(3.21), "3.2 s");
        assert_eq!(human(250.0), "4 min 10 s");
        assert_eq!(human(10_800.0), "3 h 0 min");
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(1536 * 1024), "1.5 MiB");
    }
}
