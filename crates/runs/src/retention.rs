//! How long runs and their logs are kept.
//!
//! ```text
//! the template lives   its latest runs for as long as it does, older ones for the time after their end
//! the template is gone its runs for the time after it was found gone (`server/runs/<id>/template-gone`)
//! ```
//!
//! Nothing goes for its age while the clock is not to be believed ([`trust`]).
//!
//! A run that is not over is never touched. What goes is its row, which leaves a tombstone, then its folder. An operation goes the time
//! after its end, but not before clients had a day to ask for it, and one that goes on never. Looks at start, once
//! an hour (more often if the time is short), and when a template is deleted. The same sweep acts
//! on the tombstones of what was deleted, shows no machine that was kept and is gone by now, and notes which gallery
//! versions are in all of their regions by now.

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

/// So many runs of a template that lives stay, however old they are.
const LATEST: usize = 50;
/// Runs and operations that are looked at, and removed, at once.
const PAGE: u32 = 500;
/// The longest time between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);
/// Deletions that come together are looked at together.
const GATHER: Duration = Duration::from_secs(60);
/// How long operations are kept after their end at least: a client that polls one may ask hours later.
const POLLED: SignedDuration = SignedDuration::from_hours(24);
/// In a run's folder: when the template was found gone.
const GONE: &str = "template-gone";

/// Sweeps until the service ends.
pub async fn keep_sweeping(app: App, keep: Duration, mut trust: Trust) {
    if let Err(error) = blobs::remove_unfinished(&app.settings().layout).await {
        tracing::warn!(error = %images::error::chain(&error), "unfinished blobs stay");
    }
    let pause = LOOK_AGAIN.min(keep / 10).max(Duration::from_secs(1));
    let gathered = GATHER.min(keep / 100);
    loop {
        if let Err(error) = look(&app, keep, &mut trust, Reading::now()).await {
            tracing::warn!(error = %images::error::chain(&error), "logs that are no longer kept stay for the next time");
        }
        // A place that does not answer is waited for, but not beyond the service's end.
        let caught_up = app.shutdown().run_until_cancelled(replication::catch_up(&app)).await;
        if let Some(Err(error)) = caught_up {
            tracing::warn!(error = %images::error::chain(&error), "which versions are in all of their regions is left for the next time");
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

/// Removes what is to go: for its age if the clock is believed, and what was deleted in any case.
async fn look(
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
            "the clock is ahead of what is expected: nothing is removed for its age until it is set right, or has kept its course for hours"
        ),
    }
    tombstones::remove_all_files(app).await?;
    Ok(worker::forget_ended(app).await?)
}

/// Removes what has been kept long enough at that time, page by page: nothing of it is in memory at once,
/// and other writes to the database come between.
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
        tracing::info!(runs = forgotten, "runs that were kept long enough are forgotten");
    }
    if let Ok(before) = now.checked_sub(keep.max(POLLED)) {
        while app.store().forget_operations_before(before, PAGE).await? == u64::from(PAGE) {}
    }
    Ok(())
}

/// Those of the runs that were kept long enough: since the time beside them, or since their template
/// was found gone.
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
    /// The template at hand, and when it was made if it is there.
    template: Option<(ResourceKey, Option<Timestamp>)>,
    /// How many runs of it have been counted.
    counted: usize,
}

impl Cursor {
    /// The how-many-th run of its template it is, newest first; `None` if the template is gone. A run of
    /// an earlier template of that name is none of the one that is there. Runs come by template, newest
    /// first.
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

/// When the run's template was found gone, which is noted now if it was not before.
fn gone_since(layout: &Layout, run_id: &str, now: Timestamp) -> io::Result<Timestamp> {
    let folder = run_folder::of(layout, run_id);
    let path = folder.join(GONE);
    let noted = absent::or_none(fs::read_to_string(&path))?;
    // A time to come was noted by a clock that was ahead.
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
