//! Recovers the runs of an earlier process: they end, or continue from their last node.

use std::collections::HashSet;

use api::ErrorCode;
use db::RunState;
use images::error::Error;
use providers::image_builder::record::RunInput;
use service::App;

use super::{
    execute,
    executor::{Ended, Executor},
    machines,
    row::Owned,
};

/// How often a run may be interrupted without an orderly shutdown, so that a run that crashes the service
/// cannot do so without end.
const CRASHES: i64 = 2;

/// Ends runs that cannot continue. Returns the ids of those that do.
pub(super) async fn recover(
    app: &App,
    executor: &dyn Executor,
) -> Result<HashSet<String>, db::Error> {
    // Before any row is written: a run that is over holds nothing.
    for problem in executor.clean().await {
        tracing::warn!("left over from an earlier run: {problem}");
    }
    machines::forget_ended(app).await?;
    let mut resumed = HashSet::new();
    for run in app.store().unfinished_runs().await? {
        // Only the holder of the lease recovers runs, so any other owner has lost its lease.
        if run.owner.is_some() && run.owner.as_deref() == app.store().own_lease() {
            continue;
        }
        let error = match run.state {
            RunState::Canceling => Error::new(ErrorCode::Canceled, "canceled"),
            // The claim counts this crash.
            RunState::Running if run.crashes + 1 < CRASHES => {
                tracing::info!(run = %run.id, "the run continues where the service ended");
                resumed.insert(run.id);
                continue;
            }
            RunState::Running => Error::new(
                ErrorCode::InternalError,
                format!(
                    "The service crashed or was killed while the run was active, {CRASHES} times: it is \
                     not started again"
                ),
            )
            .hint("Run the template again"),
            _ => continue,
        };
        let input = RunInput::of(&run).ok();
        let ended = Ended::failed(error);
        let owned = Owned { is_taken: false, ..Owned::of(&run) };
        execute::end(&app.within(&run.subscription), owned, input.as_ref(), &ended).await;
    }
    Ok(resumed)
}
