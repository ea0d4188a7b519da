//! Goldsmith's own commands in a guest: each has a deadline, and their output is discarded.

use std::time::Duration;

use api::ErrorCode;
use images::error::{Error, Result, guest_error};
use vm::{Discard, Exit, Guest, Stdin};

/// Runs a command for its exit status only. `what` names it in the timeout error.
pub async fn run_within(
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

/// Limits the time of work in the guest.
pub async fn within<T>(
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
