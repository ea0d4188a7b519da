//! Runs that no request begins: triggers that follow a source, and schedules.
//!
//! Two tasks reconcile the wanted state with the present one: one for schedules, so that a due run waits
//! for no source, the other for triggers. A change wakes them with its key (a gallery version was written,
//! a run ended, a schedule was set). They also reconcile at every interval (the catalogue is a file), and
//! when the next run is due. So a restart needs no further code, and an extra reconciliation is harmless.
//!
//! One commit writes the run and the version or time that began it, so that it begins exactly once.

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

/// The pause after a failed reconciliation.
const RETRY: Duration = Duration::from_secs(5);

/// By how much the clock is set back at least before every schedule is checked.
const SET_BACK: SignedDuration = SignedDuration::from_secs(60);

/// Options of triggers and schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How often at least to search for new versions of sources.
    pub interval: Duration,
    /// After so many failed runs in a row a trigger is deactivated.
    pub failures: u32,
}

impl Options {
    /// Checks the options.
    ///
    /// # Errors
    /// `InvalidArgument`, which names the flag.
    pub fn check(self) -> Result<()> {
        if self.interval.is_zero() {
            return Err(Error::new(ErrorCode::InvalidArgument, "the interval must not be zero")
                .target("--trigger-interval")
                .hint("one second or more, for example 60s"));
        }
        if self.failures == 0 {
            return Err(Error::new(ErrorCode::InvalidArgument, "failures must be at least one")
                .target("--trigger-failures")
                .hint("one or more, for example 3"));
        }
        Ok(())
    }
}

/// Starts both tasks, which run until [`App::shutdown`].
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
        let work = async {
            if !is_checked {
                image_builder::check_schedules(&app, now).await?;
            }
            image_builder::reconcile_schedules(&app, now).await
        };
        let outcome = attempted("schedules", work).await;
        if is_checked || outcome.is_some() {
            checked = Some(reading);
        }
        let due = outcome.unwrap_or_else(|| now.checked_add(RETRY).ok());
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
        let work = image_builder::reconcile_sources(&app, &scope, options.failures, now);
        // Shutdown does not wait for remote sources.
        let outcome = tokio::select! {
            () = shutdown.cancelled() => return,
            outcome = attempted("triggers", work) => outcome,
        };
        // Failed keys are reconciled again, together with new ones.
        let left = match outcome {
            Some(()) => Scope::Only(BTreeSet::new()),
            None => scope,
        };
        let retry = tokio::time::sleep(if outcome.is_some() { options.interval } else { RETRY });
        scope = tokio::select! {
            () = shutdown.cancelled() => return,
            more = app.changes().next(), if outcome.is_some() => more,
            () = retry, if outcome.is_none() => left,
            () = tokio::time::sleep_until(at_all), if outcome.is_some() => Scope::All,
        };
    }
}

/// The result of a reconciliation. `None` if it failed: the task retries soon.
async fn attempted<T>(
    what: &str,
    work: impl Future<Output = std::result::Result<T, db::Error>>,
) -> Option<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(found)) => Some(found),
        Ok(Err(error)) => {
            let error = images::error::chain(&error);
            tracing::error!(%error, "the {what} cannot be reconciled; trying again");
            None
        }
        Err(_) => {
            tracing::error!("reconciling the {what} panicked; trying again");
            None
        }
    }
}

/// Until the next run is due, and never longer than the interval: the clock may be set meanwhile.
fn pause(interval: Duration, due: Option<Timestamp>, now: Timestamp) -> Duration {
    // A run that is overdue could not begin; the next change retries it.
    let due = due.map(|due| due.duration_since(now)).filter(|wait| wait.is_positive());
    due.map_or(interval, |wait| interval.min(wait.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_reconciliation_is_due_with_a_run_or_after_the_interval() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let minute = Duration::from_secs(60);
        let pause = |due: Option<&str>| pause(minute, due.map(|due| due.parse().unwrap()), now);
        assert_eq!(pause(None), minute);
        assert_eq!(pause(Some("2026-01-01T00:00:07.5Z")), Duration::from_millis(7500));
        assert_eq!(pause(Some("2026-01-02T00:00:00Z")), minute);
        assert_eq!(pause(Some("2025-12-31T00:00:00Z")), minute);
    }

    #[test]
    fn invalid_options_are_reported_by_their_flag() {
        let usual = Options { interval: Duration::from_secs(60), failures: 3 };
        assert!(usual.check().is_ok());
        let error = Options { interval: Duration::ZERO, ..usual }.check().unwrap_err();
        assert_eq!(error.target.as_deref(), Some("--trigger-interval"));
        let error = Options { failures: 0, ..usual }.check().unwrap_err();
        assert_eq!(error.target.as_deref(), Some("--trigger-failures"));
    }
}
