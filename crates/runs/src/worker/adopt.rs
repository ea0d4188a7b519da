//! What an earlier process left: its runs are ended, or go on from their last node.

use std::collections::HashSet;

use api::ErrorCode;
use db::RunState;
use images::error::Error;
use service::App;

use super::{
    carry,
    executor::{Ended, Executor},
    machines,
    row::As,
};

/// How often a run may end without being handed over. One that takes the service down with it must not do
/// so for ever; an orderly restart does not count.
const CRASHES: i64 = 2;

/// Ends what is to end, and returns the ids of the runs that are to go on.
pub(super) async fn adopt(
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
        // Only the holder of the lease is here, so that any other owner has lost its own.
        if run.owner.is_some() && run.owner.as_deref() == app.store().own_lease() {
            continue;
        }
        let error = match run.state {
            RunState::Canceling => Error::new(ErrorCode::Canceled, "canceled"),
            // Its claim counts this crash.
            RunState::Running if run.crashes + 1 < CRASHES => {
                tracing::info!(run = %run.id, "the run goes on where the service was ended");
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
        let ended = Ended { outputs: Vec::new(), optimization: None, error: Some(error) };
        carry::end(app, &run.id, As::Claim(run.epoch), &ended).await;
    }
    Ok(resumed)
}
