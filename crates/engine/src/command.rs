//! Commands of goldsmith's own in a guest: each has a deadline, and none of their output is kept.

use std::time::Duration;

use api::ErrorCode;
use images::error::{Error, Result, guest_error};
use vm::{Discard, Exit, Guest, Stdin};

/// Runs a command of which only the exit matters. `what` names it in the error of one that does not end.
pub(crate) async fn run_within(
    guest: &dyn Guest,
    what: &str,
    command: &str,
    stdin: Stdin<'_>,
    limit: Duration,
) -> Result<Exit> {
    within(limit, what, async {
        guest.run(command, stdin, &mut Discard).await.map_err(guest_error)
    })
    .await
}

/// Work in the guest that has to end by then.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let text = format!("{what} in the guest did not end within {} s", limit.as_secs());
        Err(Error::new(ErrorCode::StepTimedOut, text)
            .hint("the guest may be overloaded: give it more vCPUs or memory, or build again"))
    })
}
