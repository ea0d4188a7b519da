//! Retention of runs and their logs.
//!
//! ```text
//! the template lives   its latest runs for as long as it does, older ones for the time after their end
//! the template is gone its runs for the time after this was detected (`server/runs/<id>/template-gone`)
//! ```
//!
//! The sweep removes nothing for its age while it does not trust the clock ([`trust`]).
//!
//! Active runs stay. The sweep removes a run's row, which leaves a tombstone, then its folder. It removes an ended
//! operation after the same time, but not before clients had a day to poll it. It sweeps at start, once an hour (more
//! often if the time is short), and when a template is deleted. It also acts on tombstones, removes the rows of retained
//! machines that have ended, and records which gallery versions are in all of their regions by now.

mod trust;

use std::{fs, io, time::Duration};

use db::{EndedRun, ResourceKey};
use engine::off_runtime;
use images::{absent, clock::Reading, layout::Layout};
use jiff::{SignedDuration, Timestamp};
use providers::replication;
use service::{App, blobs, run_folder, tombstones};

pub use self::trust::Trust;
use crate::worker;

/// So many runs of an existing template stay at any age.
const LATEST: usize = 50;
/// The page size of runs and operations that are read and removed at once.
const PAGE: u32 = 500;
/// The longest time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The pause in which further deletions join the same sweep.
const GATHER: Duration = Duration::from_secs(60);
/// How long ended operations stay at least: a client may poll one hours later.
const POLLED: SignedDuration = SignedDuration::from_hours(24);
/// In a run's folder: when the sweep first missed its template.
const GONE: &str = "template-gone";

/// Sweeps until the service ends.
pub async fn keep_sweeping(app: App, keep: Duration, mut trust: Trust) {
    if let Err(error) = blobs::remove_unfinished(&app.settings().layout).await {
        tracing::warn!(error = %images::error::chain(&error), "unfinished blobs stay");
    }
    let pause = INTERVAL.min(keep / 10).max(Duration::from_secs(1));
    let gathered = GATHER.min(keep / 100);
    loop {
        if let Err(error) = sweep_once(&app, keep, &mut trust, Reading::now()).await {
            tracing::warn!(error = %images::error::chain(&error), "expired logs stay for the next sweep");
        }
        // The sweep waits for a storage place that does not answer, but not beyond the service's end.
        let caught_up = app.shutdown().run_until_cancelled(replication::catch_up(&app)).await;
        if let Some(Err(error)) = caught_up {
            tracing::warn!(error = %images::error::chain(&error), "the state of versions in their regions stays for the next sweep");
        }
        tokio::select! {
            () = app.shutdown().cancelled() => return,
            () = app.sweeper_woken() => {
                let gather = tokio::time::sleep(gathered);
                if app.shutdown().run_until_cancelled(gather).await.is_none() {
                    return;
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Removes what has expired, if the clock is trusted, and what was deleted in any case.
async fn sweep_once(
    app: &App,
    keep: Duration,
    trust: &mut Trust,
    now: Reading,
) -> Result<(), blobs::Error> {
    match trust.check(now) {
        Ok(()) => remove_old(app, keep, now.wall).await?,
        Err(ahead) => tracing::warn!(
            clock = %now.wall,
            ahead = %format_args!("{} hours", ahead.as_hours()),
            "the clock is ahead: the sweep removes nothing for its age until the clock is corrected or has run steadily for hours"
        ),
    }
    tombstones::remove_all_files(app).await?;
    Ok(worker::forget_ended(app).await?)
}

/// Removes what has expired at that time, page by page, so that memory stays small and other writes to the
/// database get their turn.
async fn remove_old(app: &App, keep: Duration, now: Timestamp) -> Result<(), blobs::Error> {
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    let mut place = Cursor::default();
    let (mut last, mut forgotten) = (None, 0);
    loop {
        let page = app.store().ended_runs(last.as_ref(), PAGE).await?;
        let Some(end) = page.last().cloned() else { break };
        let mut candidates = Vec::new();
        for run in page {
            match place.of(app, &run).await? {
                Some(place) if place < LATEST => {}
                Some(_) => candidates.push((run.id, Some(run.ended))),
                None => candidates.push((run.id, None)),
            }
        }
        app.confirm_ownership().await.map_err(io::Error::other)?;
        let layout = app.settings().layout.clone();
        let over = off_runtime(move || kept_long_enough(&layout, candidates, keep, now)).await?;
        app.store().forget_runs(&over).await?;
        forgotten += over.len();
        last = Some(end);
    }
    if forgotten > 0 {
        tracing::info!(runs = forgotten, "expired runs were removed");
    }
    if let Ok(before) = now.checked_sub(keep.max(POLLED)) {
        while app.store().forget_operations_before(before, PAGE).await? == u64::from(PAGE) {}
    }
    Ok(())
}

/// The expired ones of the runs: by the time beside them, or by when the sweep first missed their
/// template.
fn kept_long_enough(
    layout: &Layout,
    runs: Vec<(String, Option<Timestamp>)>,
    keep: SignedDuration,
    now: Timestamp,
) -> io::Result<Vec<String>> {
    let mut over = Vec::new();
    for (id, since) in runs {
        let since = match since {
            Some(since) => since,
            None => gone_since(layout, &id, now)?,
        };
        if now.duration_since(since) >= keep {
            over.push(id);
        }
    }
    Ok(over)
}

/// Counts the runs of one template after the other.
#[derive(Default)]
struct Cursor {
    /// The present template, and when it was created if it exists.
    template: Option<(ResourceKey, Option<Timestamp>)>,
    /// How many runs of it have been counted.
    counted: usize,
}

impl Cursor {
    /// The position of the run among those of its template, newest first; `None` if the template is gone.
    /// Runs of an earlier template of that name do not belong to the existing one. Callers pass runs by
    /// template, newest first.
    async fn of(&mut self, app: &App, run: &EndedRun) -> Result<Option<usize>, db::Error> {
        let born = match &self.template {
            Some((template, born)) if *template == run.template => *born,
            _ => {
                let found = app.store().resource(&run.template).await?;
                let born = found.map(|template| template.created);
                self.template = Some((run.template.clone(), born));
                self.counted = 0;
                born
            }
        };
        if born.is_none_or(|born| run.queued < born) {
            return Ok(None);
        }
        self.counted += 1;
        Ok(Some(self.counted - 1))
    }
}

/// When the sweep first missed the run's template, which it records now if it had not.
fn gone_since(layout: &Layout, run_id: &str, now: Timestamp) -> io::Result<Timestamp> {
    let folder = run_folder::of(layout, run_id);
    let path = folder.join(GONE);
    let noted = absent::or_none(fs::read_to_string(&path))?;
    // A clock that was ahead recorded a future time.
    let noted = noted.and_then(|text| text.trim().parse().ok()).filter(|time| *time <= now);
    if let Some(time) = noted {
        return Ok(time);
    }
    fs::create_dir_all(&folder)?;
    fs::write(path, now.to_string())?;
    Ok(now)
}

#[cfg(test)]
mod tests;
