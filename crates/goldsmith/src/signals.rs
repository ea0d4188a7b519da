//! Ctrl-C, SIGTERM, SIGQUIT and a closed terminal ask for an orderly end; everything held is released on
//! the way out.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that fires at the first SIGINT, SIGTERM, SIGQUIT or SIGHUP.
pub(crate) fn cancel_on_signals() -> CancellationToken {
    let cancel = CancellationToken::new();
    let fire = cancel.clone();
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()];
    // Under nohup the end of the terminal is not to be noticed.
    let hangup = Some(SignalKind::hangup()).filter(|_| !is_ignored(SignalKind::hangup()));
    let signals: Result<Vec<Signal>, _> = kinds.into_iter().chain(hangup).map(signal).collect();
    let Ok(mut signals) = signals else {
        tracing::warn!("signals cannot be watched; Ctrl-C will end goldsmith at once");
        return cancel;
    };
    tokio::spawn(async move {
        any(&mut signals).await;
        fire.cancel();
        // Further signals change nothing: the clean-up that is under way has its own deadlines.
        loop {
            any(&mut signals).await;
        }
    });
    cancel
}

/// Resolves when one of them comes.
async fn any(signals: &mut [Signal]) {
    std::future::poll_fn(|cx| {
        let mut ready = std::task::Poll::Pending;
        // All of them, so that each wakes this task.
        for signal in &mut *signals {
            if signal.poll_recv(cx).is_ready() {
                ready = std::task::Poll::Ready(());
            }
        }
        ready
    })
    .await;
}

/// Whether whoever started this process had the signal ignored.
fn is_ignored(kind: SignalKind) -> bool {
    let status = vm::may_wait(|| std::fs::read_to_string("/proc/self/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
