//! Ctrl-C and SIGTERM ask for an orderly end; everything held is released on the way out.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that fires at the first SIGINT or SIGTERM.
pub(crate) fn cancel_on_signals() -> CancellationToken {
    let cancel = CancellationToken::new();
    let fire = cancel.clone();
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be watched; Ctrl-C will end goldsmith at once");
        return cancel;
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        fire.cancel();
        // Further signals change nothing: the clean-up that is under way has its own deadlines.
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
    });
    cancel
}
