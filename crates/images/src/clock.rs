//! The two clocks of a host. Users and time servers set the wall clock. Nobody can set the time
//! since boot, which also counts the time in which a process was stopped or the host slept.
//!
//! An irreversible decision does not depend on the wall clock alone.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Both clocks, read at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub wall: Timestamp,
    pub since_boot: Duration,
}

impl Reading {
    /// Reads the clocks.
    #[must_use]
    pub fn now() -> Self {
        Self { wall: Timestamp::now(), since_boot: since_boot() }
    }

    /// By how much the wall clock was set between an earlier reading of the same boot and this one.
    /// Negative if it was set back.
    #[must_use]
    pub fn set_since(&self, earlier: &Self) -> SignedDuration {
        let passed = self.since_boot.saturating_sub(earlier.since_boot);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        self.wall.duration_since(earlier.wall).saturating_sub(passed)
    }
}

/// The time since this host booted.
#[must_use]
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        now.tv_sec.try_into().unwrap_or_default(),
        now.tv_nsec.try_into().unwrap_or_default(),
    )
}

/// The end of a time span on this host. Changes of the wall clock do not move it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deadline {
    /// The wall clock's expected time at the end.
    pub wall: Timestamp,
    /// The id of the boot in which the deadline was set; "" if the kernel did not report one.
    boot: String,
    /// The time from that boot to the end.
    since_boot: Duration,
}

impl Deadline {
    /// The deadline `span` after `now`, a reading from the boot with that id.
    #[must_use]
    pub fn after(span: Duration, now: &Reading, boot: &str) -> Self {
        let signed = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        Self {
            wall: now.wall.checked_add(signed).unwrap_or(Timestamp::MAX),
            boot: boot.to_owned(),
            since_boot: now.since_boot.saturating_add(span),
        }
    }

    /// Whether the span has passed. The wall clock decides only after a reboot.
    #[must_use]
    pub fn is_over(&self, now: &Reading, boot: &str) -> bool {
        match !boot.is_empty() && self.boot == boot {
            true => self.since_boot <= now.since_boot,
            false => self.wall <= now.wall,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(wall: &str, hours: u32) -> Reading {
        Reading { wall: wall.parse().unwrap(), since_boot: HOUR * hours }
    }

    #[test]
    fn set_since_ignores_elapsed_time() {
        let first = at("2026-01-01T00:00:00Z", 5);
        assert!(at("2026-01-01T03:00:00Z", 8).set_since(&first).is_zero());
        assert_eq!(at("2026-01-01T03:00:00Z", 6).set_since(&first), SignedDuration::from_hours(2));
        assert_eq!(at("2025-12-31T23:00:00Z", 6).set_since(&first), SignedDuration::from_hours(-2));
    }

    #[test]
    fn deadline_within_a_boot_ignores_the_wall_clock() {
        let deadline = Deadline::after(HOUR * 2, &at("2026-01-01T00:00:00Z", 5), "a");
        assert_eq!(deadline.wall, "2026-01-01T02:00:00Z".parse().unwrap());
        assert!(!deadline.is_over(&at("2038-01-01T00:00:00Z", 6), "a"));
        assert!(deadline.is_over(&at("1970-01-01T00:00:00Z", 7), "a"));
    }

    #[test]
    fn deadline_of_another_boot_follows_the_wall_clock() {
        let deadline = Deadline::after(HOUR * 2, &at("2026-01-01T00:00:00Z", 5), "a");
        assert!(!deadline.is_over(&at("2026-01-01T01:00:00Z", 9), "b"));
        assert!(deadline.is_over(&at("2026-01-01T02:00:00Z", 0), "b"));
        let unknown = Deadline::after(HOUR, &at("2026-01-01T00:00:00Z", 5), "");
        assert!(unknown.is_over(&at("2026-01-01T01:00:00Z", 5), ""));
    }
}
