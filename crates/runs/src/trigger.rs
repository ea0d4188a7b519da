//! What begins runs by itself: triggers that follow a source, and schedules.
//!
//! Two tasks look at what is wanted and what there is, and act; they are given nothing but the time. One is
//! for the schedules, so that what is due waits for no source, the other for the triggers. They
//! are woken where a change is known, by its key (a gallery version was written, a run ended, a schedule
//! was set),
//! look again at every interval (the catalogue is a file), and when the next run is due. So a restart
//! needs no path of its own, and a look too many does no harm.
//!
//! What has been acted upon is written in the same commit as the run: it begins once, whatever happens.

use std::{collections::BTreeSet, panic::AssertUnwindSafe, time::Duration};

use api::ErrorCode;
use futures_util::FutureExt;
use images::{
    clock::Reading,
    error::{Error, Result},
};
use jiff::{SignedDuration, Timestamp};
use providers::image_builder;
use service::{App, app::changes::Scope, tasks};
use tokio::time::Instant;

/// Until the next look when one failed.
const RETRY: Duration = Duration::from_secs(5);

/// By how much the clock is set back at least before every schedule is checked.
const SET_BACK: SignedDuration = SignedDuration::from_secs(60);

/// How triggers and schedules are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How often at least to look for new versions of sources.
    pub interval: Duration,
    /// After so many failed runs in a row a trigger is deactivated.
    pub failures: u32,
}

impl Options {
    /// Whether they can be used.
    ///
    /// # Errors
    /// `InvalidArgument`, which names the flag.
    pub fn check(self) -> Result<()> {
        if self.interval.is_zero() {
            return Err(Error::new(ErrorCode::InvalidArgument, "the interval is no time at all")
                .target("--trigger-interval")
                .hint("one second or more, for example 60s"));
        }
        if self.failures == 0 {
            return Err(Error::new(ErrorCode::InvalidArgument, "no trigger would ever be active")
                .target("--trigger-failures")
                .hint("one or more, for example 3"));
        }
        Ok(())
    }
}

/// Begins to look, until [`App::shutdown`].
pub fn start(app: &App, options: Options) {
    tasks::spawn(app, "schedules", follow_schedules(app.clone(), options));
    tasks::spawn(app, "triggers", follow_sources(app.clone(), options));
}

async fn follow_schedules(app: App, options: Options) {
    let shutdown = app.shutdown().clone();
    // The reading at which all of them were checked, or to which the clock has been set since.
    let mut checked: Option<Reading> = None;
    while !shutdown.is_cancelled() {
        let reading = Reading::now();
        let now = reading.wall;
        let is_checked = checked.is_some_and(|checked| reading.set_since(&checked) >= -SET_BACK);
        let look = async {
            if !is_checked {
                image_builder::check_schedules(&app, now).await?;
            }
            image_builder::reconcile_schedules(&app, now).await
        };
        let looked = looked("schedules", look).await;
        if is_checked || looked.is_some() {
            checked = Some(reading);
        }
        let due = looked.unwrap_or_else(|| now.checked_add(RETRY).ok());
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = app.schedules_woken() => {}
            () = tokio::time::sleep(pause(options.interval, due, Timestamp::now())) => {}
        }
    }
}

async fn follow_sources(app: App, options: Options) {
    let shutdown = app.shutdown().clone();
    let mut scope = Scope::Start;
    let mut at_all = Instant::now();
    while !shutdown.is_cancelled() {
        if !matches!(scope, Scope::Only(_)) {
            at_all = Instant::now() + options.interval;
        }
        let now = Timestamp::now();
        let look = image_builder::reconcile_sources(&app, &scope, options.failures, now);
        // The sources may be far away: who ends the service does not wait for them.
        let looked = tokio::select! {
            () = shutdown.cancelled() => return,
            looked = looked("triggers", look) => looked,
        };
        // What could not be looked at is looked at again, with what has come meanwhile.
        let left = match looked {
            Some(()) => Scope::Only(BTreeSet::new()),
            None => scope,
        };
        let retry = tokio::time::sleep(if looked.is_some() { options.interval } else { RETRY });
        scope = tokio::select! {
            () = shutdown.cancelled() => return,
            more = app.changes().next(), if looked.is_some() => more,
            () = retry, if looked.is_none() => left,
            () = tokio::time::sleep_until(at_all), if looked.is_some() => Scope::All,
        };
    }
}

/// What a look gives. None if it failed: it is to be tried again soon.
async fn looked<T>(
    what: &str,
    look: impl Future<Output = std::result::Result<T, db::Error>>,
) -> Option<T> {
    match AssertUnwindSafe(look).catch_unwind().await {
        Ok(Ok(found)) => Some(found),
        Ok(Err(error)) => {
            let error = images::error::chain(&error);
            tracing::error!(%error, "the {what} cannot be looked at; trying again");
            None
        }
        Err(_) => {
            tracing::error!("looking at the {what} panicked; trying again");
            None
        }
    }
}

/// Until the next run is due, and never longer than the interval: the clock may be set meanwhile.
fn pause(interval: Duration, due: Option<Timestamp>, now: Timestamp) -> Duration {
    // What is due already could not be begun, and is tried again when something changes.
    let due = due.map(|due| due.duration_since(now)).filter(|wait| wait.is_positive());
    due.map_or(interval, |wait| interval.min(wait.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_when_a_run_is_due_and_at_every_interval() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let minute = Duration::from_secs(60);
        let pause = |due: Option<&str>| pause(minute, due.map(|due| due.parse().unwrap()), now);
        assert_eq!(pause(None), minute);
        assert_eq!(pause(Some("2026-01-01T00:00:07.5Z")), Duration::from_millis(7500));
        assert_eq!(pause(Some("2026-01-02T00:00:00Z")), minute);
        assert_eq!(pause(Some("2025-12-31T00:00:00Z")), minute);
    }

    #[test]
    fn options_that_make_no_sense_are_told_by_their_flag() {
        let usual = Options { interval: Duration::from_secs(60), failures: 3 };
        assert!(usual.check().is_ok());
        let error = Options { interval: Duration::ZERO, ..usual }.check().unwrap_err();
        assert_eq!(error.target.as_deref(), Some("--trigger-interval"));
        let error = Options { failures: 0, ..usual }.check().unwrap_err();
        assert_eq!(error.target.as_deref(), Some("--trigger-failures"));
    }
}
