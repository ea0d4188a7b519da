//! The tasks of the activity log: its files, and its retention.

use std::{path::PathBuf, time::Duration};

use images::clock::Reading;
use jiff::{SignedDuration, Timestamp};
use runs::retention::Trust;
use service::{
    App,
    activity::{Folder, forget_before, keep_streaming},
    tasks,
};

/// How often old events are removed.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// The options of the activity log.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of its files. Default: `activity` in the server's folder.
    pub dir: Option<PathBuf>,
    /// How long to keep events, in the database and in the files.
    pub keep: Duration,
}

/// Starts the tasks. `newest` is the newest time that the database had before this process.
pub(crate) fn spawn(app: &App, options: &Options, newest: Option<Timestamp>) {
    let dir = options.dir.clone().unwrap_or_else(|| app.settings().dir.join("activity"));
    let trust = Trust::new(newest, options.keep, Reading::now());
    let folder = Folder::new(dir, options.keep);
    tasks::spawn(app, "activity-stream", keep_streaming(app.clone(), folder));
    tasks::spawn(app, "activity-retention", keep_forgetting(app.clone(), options.keep, trust));
}

async fn keep_forgetting(app: App, keep: Duration, mut trust: Trust) {
    let pause = EVERY.min(keep / 10).max(Duration::from_secs(1));
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    loop {
        let now = Reading::now();
        // Of a clock that was set ahead, `runs::retention` warns.
        if let (Ok(()), Ok(oldest)) = (trust.check(now), now.wall.checked_sub(keep)) {
            match forget_before(app.store(), oldest).await {
                Ok(0) => {}
                Ok(events) => tracing::info!(events, "removed old events of the activity log"),
                Err(error) => tracing::warn!(%error, "old events of the activity log stay"),
            }
        }
        if app.shutdown().run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}
