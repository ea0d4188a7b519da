//! How long runs and their logs are kept.
//!
//! ```text
//! the template lives   its latest runs for as long as it does, older ones for the time after their end
//! the template is gone its runs for the time after it was found gone (`server/runs/<id>/template-gone`)
//! ```
//!
//! A run that is not over is never touched. What goes is its row, which leaves a tombstone, then its folder. An operation goes the time
//! after its end, but not before clients had a day to ask for it, and one that goes on never. Looks at start, once
//! an hour (more often if the time is short), and when a template is deleted. The same sweep acts
//! on the tombstones of what was deleted, and shows no machine that was kept and is gone by now.

use std::{collections::HashMap, fs, io, time::Duration};

use engine::layout::Layout;
use jiff::{SignedDuration, Timestamp};

use crate::{
    App, blobs, live,
    store::{self, EndedRun, ResourceKey},
    tombstones, worker,
};

/// So many runs of a template that lives stay, however old they are.
const LATEST: usize = 50;
/// The longest time between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);
/// Deletions that come together are looked at together.
const GATHER: Duration = Duration::from_secs(60);
/// How long operations are kept after their end at least: a client that polls one may ask hours later.
const POLLED: SignedDuration = SignedDuration::from_hours(24);
/// In a run's folder: when the template was found gone.
const GONE: &str = "template-gone";

/// Sweeps until the service ends.
pub(crate) async fn keep_sweeping(app: App, keep: Duration) {
    if let Err(error) = blobs::remove_unfinished(&app.settings().layout).await {
        tracing::warn!(%error, "unfinished blobs stay");
    }
    let pause = LOOK_AGAIN.min(keep / 10).max(Duration::from_secs(1));
    let gathered = GATHER.min(keep / 100);
    loop {
        if let Err(error) = sweep(&app, keep, Timestamp::now()).await {
            tracing::warn!(%error, "logs that are no longer kept stay for the next time");
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

/// Removes what has been kept long enough at that time.
pub(crate) async fn sweep(app: &App, keep: Duration, now: Timestamp) -> Result<(), blobs::Error> {
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    let is_past = |time: Timestamp| now.duration_since(time) >= keep;
    let mut born = Templates::default();
    let mut over = Vec::new();
    for run in app.store().ended_runs().await? {
        let since = match born.place(app, &run).await? {
            Some(place) if place < LATEST => continue,
            Some(_) => run.ended,
            None => gone_since(&app.settings().layout, &run.id, now)?,
        };
        if is_past(since) {
            over.push(run.id);
        }
    }
    if !over.is_empty() {
        tracing::info!(runs = over.len(), "runs that were kept long enough are forgotten");
        app.store().forget_runs(&over).await?;
    }
    if let Ok(before) = now.checked_sub(keep.max(POLLED)) {
        app.store().forget_operations_before(before).await?;
    }
    tombstones::act_on_all(app).await?;
    Ok(worker::forget_ended(app).await?)
}

/// What is known of the templates of runs.
#[derive(Default)]
struct Templates {
    /// When each was made, if it is there.
    born: HashMap<ResourceKey, Option<Timestamp>>,
    /// How many runs of each have been counted.
    counted: HashMap<ResourceKey, usize>,
}

impl Templates {
    /// The how-many-th run of its template it is, newest first; `None` if the template is gone. A run of
    /// an earlier template of that name is none of the one that is there. Runs come newest first.
    async fn place(&mut self, app: &App, run: &EndedRun) -> Result<Option<usize>, store::Error> {
        if !self.born.contains_key(&run.template) {
            let found = app.store().resource(&run.template).await?;
            let born = found.map(|template| template.created);
            self.born.insert(run.template.clone(), born);
        }
        let born = self.born.get(&run.template).copied().flatten();
        if born.is_none_or(|born| run.queued < born) {
            return Ok(None);
        }
        let count = self.counted.entry(run.template.clone()).or_default();
        *count += 1;
        Ok(Some(*count - 1))
    }
}

/// When the run's template was found gone, which is noted now if it was not before.
fn gone_since(layout: &Layout, run_id: &str, now: Timestamp) -> io::Result<Timestamp> {
    let folder = live::folder(layout, run_id);
    let path = folder.join(GONE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            if let Ok(time) = text.trim().parse() {
                return Ok(time);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::create_dir_all(&folder)?;
    fs::write(path, now.to_string())?;
    Ok(now)
}

#[cfg(test)]
mod tests;
