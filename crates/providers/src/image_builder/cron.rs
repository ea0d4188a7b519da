//! Recurring times: a cron expression of five fields, in UTC or in a zone named before it. Text in,
//! times out; no clock, no store.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, Zoned, tz::TimeZone};

/// The tag by which a template says when it is to be run.
pub(crate) const TAG: &str = "goldsmith.schedule";

const FIELDS: usize = 5;

/// When something is due.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    cron: Cron,
    fields: String,
    zone: TimeZone,
    zone_name: String,
}

impl Schedule {
    /// Reads `MINUTE HOUR DAY MONTH WEEKDAY`, with a zone such as `Europe/Berlin` before it or without.
    /// It is due at some time after `now`.
    ///
    /// # Errors
    /// The text says what is wrong and how to correct it.
    pub(crate) fn parse(text: &str, now: Timestamp) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (zone_name, fields) = match words.as_slice() {
            fields if fields.len() == FIELDS => ("UTC", fields),
            [zone, fields @ ..] if fields.len() == FIELDS => (*zone, fields),
            _ => return Err(wrong(text, "it has not five fields")),
        };
        let zone = TimeZone::get(zone_name).map_err(|_| {
            let why = format!("this machine knows no time zone '{zone_name}'");
            wrong(text, &why)
        })?;
        let parser =
            CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let fields = fields.join(" ");
        let cron = parser.parse(&fields).map_err(|e| wrong(text, &e.to_string()))?;
        let schedule = Self { cron, fields, zone, zone_name: zone_name.to_owned() };
        if schedule.after(now).is_none() {
            return Err(wrong(text, "such a time never comes"));
        }
        Ok(schedule)
    }

    /// The first time after that one.
    pub(crate) fn after(&self, time: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&self.at(time), false).ok()?;
        Some(next.timestamp())
    }

    /// The last time that is not after that one.
    pub(crate) fn until(&self, time: Timestamp) -> Option<Timestamp> {
        let last = self.cron.find_previous_occurrence(&self.at(time), true).ok()?;
        Some(last.timestamp())
    }

    /// The five fields, as they were written.
    pub(crate) fn expression(&self) -> &str {
        &self.fields
    }

    /// The zone's name.
    pub(crate) fn zone(&self) -> &str {
        &self.zone_name
    }

    fn at(&self, time: Timestamp) -> Zoned {
        time.to_zoned(self.zone.clone())
    }
}

fn wrong(text: &str, why: &str) -> String {
    format!(
        "the tag '{TAG}' is '{text}': {}. It is MINUTE HOUR DAY MONTH WEEKDAY, in UTC or with a time zone before it: '0 3 * * MON' or 'Europe/Berlin 30 2 * * *'",
        why.trim_end_matches('.')
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn parse(text: &str) -> Result<Schedule, String> {
        Schedule::parse(text, time("2026-01-01T00:00:00Z"))
    }

    /// The next times after a start.
    fn check(text: &str, start: &str, expected: &[&str]) {
        let schedule = parse(text).unwrap();
        let mut now = time(start);
        for expected in expected {
            now = schedule.after(now).unwrap();
            assert_eq!(now, time(expected), "{text}");
            assert_eq!(schedule.until(now), Some(now), "{text}");
        }
    }

    #[test]
    fn times_are_in_utc_by_default() {
        check(
            "0 3 * * 1",
            "2026-01-01T00:00:00Z",
            &["2026-01-05T03:00:00Z", "2026-01-12T03:00:00Z"],
        );
        check(
            "*/20 9-10 * * *",
            "2026-01-01T09:30:00Z",
            &["2026-01-01T09:40:00Z", "2026-01-01T10:00:00Z"],
        );
        check("0 0 29 2 *", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
        check("30 6 * JAN mon-fri", "2026-01-02T12:00:00Z", &["2026-01-05T06:30:00Z"]);
    }

    #[test]
    fn zone_follows_its_summer_time() {
        // Summer time begins on 29 March and ends on 25 October 2026.
        check(
            "Europe/Berlin 0 3 * * *",
            "2026-03-27T12:00:00Z",
            &["2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z"],
        );
        // Half past two is left out in spring: the run begins when the clock has jumped. In autumn it
        // comes twice: the run begins once.
        check(
            "Europe/Berlin 30 2 * * *",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        );
        check(
            "Europe/Berlin 30 2 * * *",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
    }

    #[test]
    fn last_time_is_found_between_two_times() {
        let schedule = parse("0 3 * * *").unwrap();
        let last = schedule.until(time("2026-05-05T12:00:00Z"));
        assert_eq!(last, Some(time("2026-05-05T03:00:00Z")));
    }

    #[test]
    fn invalid_expression_is_reported_with_an_example() {
        for (text, why) in [
            ("", "five fields"),
            ("* * * *", "five fields"),
            ("0 0 3 * * * 2026", "five fields"),
            ("@daily", "five fields"),
            ("0 0 3 * * MON", "no time zone '0'"),
            ("Mars/Olympus 0 3 * * *", "no time zone 'Mars/Olympus'"),
            ("60 3 * * *", "60"),
            ("0 3 * * someday", "illegal"),
            ("0 3 30 2 *", "never comes"),
        ] {
            let message = parse(text).unwrap_err();
            let expected = message.to_lowercase().contains(&why.to_lowercase());
            assert!(expected && message.contains("'0 3 * * MON'"), "{text}: {message}");
        }
    }
}
