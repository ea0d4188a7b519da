//! Whether the sweep trusts the wall clock when it removes something for its age.
//!
//! By a clock that is a month ahead everything would expire at once. So the clock is compared with the
//! newest time in the database at start, and with the time since boot from then on. If it is more than a
//! day ahead, the sweep removes nothing for its age until the clock is corrected, or has run steadily for
//! so long that an administrator had time to correct it.

use std::time::Duration;

use images::clock::Reading;
use jiff::{SignedDuration, Timestamp};

/// A clock that is further ahead is not trusted.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// A clock that was ahead is trusted after it has run steadily for so long.
const SETTLED: Duration = Duration::from_secs(6 * 60 * 60);
/// Time servers move a steady clock by less.
const DRIFT: SignedDuration = SignedDuration::from_mins(10);

/// The reference for the clock.
#[derive(Debug)]
pub struct Trust {
    /// The last trusted reading.
    good: Reading,
    /// The first reading of the clock's present course, while it is not trusted.
    doubted: Option<Reading>,
    settled: Duration,
}

impl Trust {
    /// `newest` is the newest time that the database has before this process writes to it. A clock is
    /// doubted for [`SETTLED`], or for `keep` if that is shorter.
    pub fn new(newest: Option<Timestamp>, keep: Duration, now: Reading) -> Self {
        let wall = newest.unwrap_or(now.wall);
        Self { good: Reading { wall, ..now }, doubted: None, settled: SETTLED.min(keep) }
    }

    /// Trusts the clock, or returns how far it is ahead.
    ///
    /// # Errors
    /// The clock is this far ahead.
    pub fn check(&mut self, now: Reading) -> Result<(), SignedDuration> {
        let ahead = now.set_since(&self.good);
        if ahead > AHEAD {
            let since = match self.doubted {
                Some(since) if now.set_since(&since).abs() <= DRIFT => since,
                _ => *self.doubted.insert(now),
            };
            if now.since_boot.saturating_sub(since.since_boot) < self.settled {
                return Err(ahead);
            }
        }
        (self.good, self.doubted) = (now, None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);
    const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// A reading so many hours after boot, of a clock that was set by so many hours.
    fn at(hours: u32, set_by: i64) -> Reading {
        let boot: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let wall = boot + SignedDuration::from_hours(i64::from(hours) + set_by);
        Reading { wall, since_boot: HOUR * hours }
    }

    #[test]
    fn clock_that_keeps_its_course_is_believed() {
        let mut trust = Trust::new(None, KEEP, at(0, 0));
        for (hours, set_by) in [(1, 0), (2, 1), (100, 20), (101, -300)] {
            assert_eq!(trust.check(at(hours, set_by)), Ok(()), "{hours} {set_by}");
        }
    }

    #[test]
    fn clock_set_ahead_is_doubted_until_it_is_set_right() {
        let mut trust = Trust::new(None, KEEP, at(0, 0));
        assert_eq!(trust.check(at(1, 720)), Err(SignedDuration::from_hours(720)));
        assert_eq!(trust.check(at(2, 0)), Ok(()));
        assert_eq!(trust.check(at(3, 720)), Err(SignedDuration::from_hours(720)));
    }

    #[test]
    fn clock_set_ahead_is_believed_after_it_kept_its_course() {
        let mut trust = Trust::new(None, KEEP, at(0, 0));
        assert!(trust.check(at(1, 720)).is_err());
        assert!(trust.check(at(6, 720)).is_err());
        assert!(trust.check(at(6, 800)).is_err(), "it was set again");
        assert!(trust.check(at(11, 800)).is_err());
        assert_eq!(trust.check(at(12, 800)), Ok(()));
        assert_eq!(trust.check(at(13, 800)), Ok(()));
    }

    #[test]
    fn clock_ahead_of_the_database_is_doubted_at_start() {
        let newest = at(0, -48).wall;
        let mut trust = Trust::new(Some(newest), KEEP, at(0, 0));
        assert_eq!(trust.check(at(0, 0)), Err(SignedDuration::from_hours(48)));
        assert!(trust.check(at(5, 0)).is_err());
        assert_eq!(trust.check(at(6, 0)), Ok(()));
        let mut trust = Trust::new(Some(at(0, -20).wall), KEEP, at(0, 0));
        assert_eq!(trust.check(at(0, 0)), Ok(()));
    }

    #[test]
    fn clock_is_doubted_for_the_retention_time_at_most() {
        let mut trust = Trust::new(Some(at(0, -48).wall), HOUR, at(0, 0));
        assert!(trust.check(at(0, 0)).is_err());
        assert_eq!(trust.check(at(1, 0)), Ok(()));
    }
}
