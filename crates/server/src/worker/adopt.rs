//! What an earlier process left: its runs are ended, or go on from their last node.

use std::collections::HashSet;

use api::ErrorCode;
use engine::error::Error;

use super::{
    carry,
    executor::{Ended, Executor},
    machines,
    row::As,
};
use crate::{
    App,
    store::{self, RunState},
};

/// How often a run is begun at all. One that takes the service down with it must not do so for ever.
const ATTEMPTS: i64 = 2;

/// Ends what is to end, and returns the ids of the runs that are to go on.
pub(super) async fn adopt(
    app: &App,
    executor: &dyn Executor,
) -> Result<HashSet<String>, store::Error> {
    // Before any row is written: a run that is over holds nothing.
    for problem in executor.clean().await {
        tracing::warn!("left over from an earlier run: {problem}");
    }
    machines::forget_ended(app).await?;
    let mut resumed = HashSet::new();
    for run in app.store().unfinished_runs().await? {
        let error = match run.state {
            RunState::Canceling => Error::new(ErrorCode::Canceled, "canceled"),
            // Every attempt has raised the epoch by one.
            RunState::Running if run.epoch < ATTEMPTS => {
                tracing::info!(run = %run.id, "the run goes on where the service was ended");
                resumed.insert(run.id);
                continue;
            }
            RunState::Running => Error::new(
                ErrorCode::InternalError,
                format!(
                    "The service was restarted while the run was active, {ATTEMPTS} times: it is \
                     not begun again by itself"
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
