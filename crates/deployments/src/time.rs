//! Times and durations in the form of deployments: seven decimals, as .NET writes them.

use jiff::Timestamp;

/// `2026-01-02T03:04:05.1234567Z`
pub(crate) fn instant(time: Timestamp) -> String {
    format!("{time:.7}")
}

/// `PT1M6.5465431S` between two instants; `PT0S` if the second is not later.
pub(crate) fn duration(from: Timestamp, to: Timestamp) -> String {
    let ticks = (to.as_nanosecond() - from.as_nanosecond()).max(0) / 100;
    let (seconds, ticks) = (ticks / 10_000_000, ticks % 10_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = "PT".to_owned();
    for (number, unit) in [(hours, 'H'), (minutes, 'M')] {
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    match (seconds, ticks) {
        (0, 0) if text.len() > 2 => {}
        (seconds, 0) => text.push_str(&format!("{seconds}S")),
        (seconds, ticks) => {
            let decimals = format!("{ticks:07}");
            text.push_str(&format!("{seconds}.{}S", decimals.trim_end_matches('0')));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_seven_decimals() {
        let time: Timestamp = "2026-01-02T03:04:05.6Z".parse().unwrap();
        assert_eq!(instant(time), "2026-01-02T03:04:05.6000000Z");
        for (to, wanted) in [
            ("2026-01-02T03:04:05.6Z", "PT0S"),
            ("2026-01-02T03:04:00Z", "PT0S"),
            ("2026-01-02T03:04:06.4177218Z", "PT0.8177218S"),
            ("2026-01-02T03:05:12.1465431Z", "PT1M6.5465431S"),
            ("2026-01-02T05:04:05.6Z", "PT2H"),
        ] {
            assert_eq!(duration(time, to.parse().unwrap()), wanted);
        }
    }
}
