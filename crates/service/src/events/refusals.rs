//! Limits the rows that refused requests of one principal can add.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use arm::operation::Origin;

/// How long refusals are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// The rows of a principal in a window.
const ROWS: u32 = 60;
/// The principals that are counted at the same time. Beyond it, refusals of others are counted as those of one.
const PRINCIPALS: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// By whether a right or a lock was missing, and by principal.
    counts: Mutex<HashMap<(bool, String), Count>>,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    rows: u32,
    more: u64,
    /// The last one without a row.
    last: Option<Origin>,
}

impl Refusals {
    /// Counts a refusal. Returns whether it gets a row. Refusals for rights and locks have rows of their own, which other
    /// failures cannot use up.
    pub(crate) fn admit(&self, origin: &Origin, is_denied: bool, now: Instant) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let own = (is_denied, origin.object_id.clone());
        let others = counts.keys().filter(|(denied, _)| *denied == is_denied).count();
        let is_known = counts.contains_key(&own) || others < PRINCIPALS;
        let who = if is_known { own } else { (is_denied, String::new()) };
        let count = counts.entry(who).or_insert(Count { since: now, rows: 0, more: 0, last: None });
        if count.rows < ROWS {
            count.rows += 1;
            return true;
        }
        count.more += 1;
        count.last = Some(origin.clone());
        false
    }

    /// Ends the windows that are over, or all. Returns the refusals without rows: the last one, and how many.
    pub(crate) fn over(&self, now: Instant, all: bool) -> Vec<(Origin, u64)> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |count: &Count| all || now.saturating_duration_since(count.since) >= WINDOW;
        let ended = counts.extract_if(|_, count| is_over(count));
        ended.filter_map(|(_, count)| Some((count.last?, count.more))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principal_has_so_many_rows_a_minute_and_then_one_for_the_rest() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let of = |who: &str| Origin { object_id: who.to_owned(), ..Origin::default() };
        let rows = (0..100).filter(|_| refusals.admit(&of("a"), false, now)).count();
        assert_eq!(rows, 60);
        assert!(refusals.admit(&of("a"), true, now));
        assert!(refusals.admit(&of("b"), false, now));
        assert!(refusals.over(now, false).is_empty());
        let later = now + WINDOW;
        assert_eq!(refusals.over(later, false), [(of("a"), 40)]);
        assert!(refusals.admit(&of("a"), false, later));
    }

    #[test]
    fn many_principals_share_a_window() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let of = |who: usize| Origin { object_id: who.to_string(), ..Origin::default() };
        let rows = (0..2 * PRINCIPALS).filter(|who| refusals.admit(&of(*who), false, now)).count();
        assert_eq!(rows, PRINCIPALS + ROWS as usize);
    }
}
