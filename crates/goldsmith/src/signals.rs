//! Ctrl-C, SIGTERM, SIGQUIT and a closed terminal cancel the command, which then releases its resources.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first SIGINT, SIGTERM, SIGQUIT or SIGHUP cancels.
pub(crate) fn cancel_on_signals() -> CancellationToken {
    let cancel = CancellationToken::new();
    let fire = cancel.clone();
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()];
    // Under nohup the end of the terminal must not cancel the command.
    let hangup = Some(SignalKind::hangup()).filter(|_| !is_ignored(SignalKind::hangup()));
    let signals: Result<Vec<Signal>, _> = kinds.into_iter().chain(hangup).map(signal).collect();
    let Ok(mut signals) = signals else {
        tracing::warn!("cannot handle signals; Ctrl-C will end goldsmith without cleanup");
        return cancel;
    };
    tokio::spawn(async move {
        any(&mut signals).await;
        fire.cancel();
        // Further signals are ignored: the cleanup has its own deadlines.
        loop {
            any(&mut signals).await;
        }
    });
    cancel
}

/// Resolves when one of the signals arrives.
async fn any(signals: &mut [Signal]) {
    std::future::poll_fn(|cx| {
        let mut ready = std::task::Poll::Pending;
        // Polls all of them, so that each can wake this task.
        for signal in &mut *signals {
            if signal.poll_recv(cx).is_ready() {
                ready = std::task::Poll::Ready(());
            }
        }
        ready
    })
    .await;
}

/// Whether this process inherited an ignored signal.
fn is_ignored(kind: SignalKind) -> bool {
    let status = vm::may_wait(|| std::fs::read_to_string("/proc/self/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
