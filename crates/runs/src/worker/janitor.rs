//! Ends retained machines whose time is over or whose template is gone, and retries releases that
//! failed.

use std::{sync::Arc, time::Duration};

use engine::may_wait;
use service::App;

use super::{Executor, machines};

/// A retained machine outlives its time by at most this.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Sweeps at intervals, and when woken, until the service ends.
pub(super) async fn work(app: App, executor: Arc<dyn Executor>) {
    loop {
        tokio::select! {
            () = app.shutdown().cancelled() => return,
            () = app.janitor_woken() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
        if let Err(e) = release_orphaned(&app).await {
            tracing::warn!(error = %images::error::chain(&e), "the runs of retained machines cannot be read");
        }
        for problem in executor.end_due().await {
            tracing::warn!("not released yet: {problem}");
        }
        if let Err(e) = machines::forget_ended(&app).await {
            tracing::warn!(error = %images::error::chain(&e), "machines that are gone are still shown");
        }
    }
}

/// Ends the retention of machines whose template is gone, since clients cannot reach them any more.
async fn release_orphaned(app: &App) -> Result<(), db::Error> {
    let layout = &app.settings().layout;
    let retained = may_wait(|| engine::build::retained_machines(layout)).unwrap_or_else(|e| {
        tracing::warn!(error = %images::error::chain(&e), "the retained machines cannot be listed");
        Vec::new()
    });
    for machine in retained {
        // The service does not end machines of builds at the command line.
        let Some(run) = app.store().run(&machine.run_id).await? else { continue };
        let template = app.store().resource(&run.template).await?;
        if template.is_none_or(|template| template.created > run.queued)
            && let Err(e) = may_wait(|| engine::janitor::end_retention(layout, &machine.run_id))
        {
            tracing::warn!(run = %machine.run_id, error = %images::error::chain(&e), "a retained machine cannot be released");
        }
    }
    Ok(())
}
