//! Work that goes on behind an answered request: the one place that starts background tasks.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use crate::App;

/// Starts a task. It is waited for when the service ends, and a panic in it is logged under its name;
/// whoever starts it sees to it that a restart takes its work up again.
pub(crate) fn spawn(
    app: &App,
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) {
    app.tasks().spawn(async move {
        if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
            tracing::error!(
                task = name,
                panic = text(panic.as_ref()),
                "a background task panicked"
            );
        }
    });
}

/// Waits until every task is over, at most so long. Whether they all are.
pub(crate) async fn finish(app: &App, limit: Duration) -> bool {
    app.tasks().close();
    tokio::time::timeout(limit, app.tasks().wait()).await.is_ok()
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
