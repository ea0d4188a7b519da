//! Work that goes on behind an answered request: the one place that starts background tasks.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, time::Duration};

use arm::ApiError;
use futures_util::FutureExt;

use crate::App;

/// Starts a task. It is waited for when the service ends, and a panic in it is logged under its name;
/// whoever starts it sees to it that a restart takes its work up again.
pub fn spawn(app: &App, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
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

/// Carries work to its end even if nobody waits any more: a request whose client hangs up is dropped
/// at any `await`, which must not come between a commit and the start of what was promised.
pub async fn to_the_end<T: Send + 'static>(
    app: &App,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    app.tasks().spawn(work).await.map_err(ApiError::internal).flatten()
}

/// Waits until every task is over, at most so long. Whether they all are.
pub async fn finish(app: &App, limit: Duration) -> bool {
    app.tasks().close();
    tokio::time::timeout(limit, app.tasks().wait()).await.is_ok()
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use db::Store;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::Settings;

    async fn app(dir: &std::path::Path) -> App {
        let layout = images::layout::Layout::new(dir.join("cache"), dir.join("data"));
        let settings = Settings {
            layout,
            dir: dir.to_owned(),
            regions: vec!["lab1".to_owned()],
            tenant: String::new(),
            subscription: String::new(),
        };
        let store = Store::open(&format!("sqlite://{}/t.db", dir.display())).await.unwrap();
        App::new(settings, store, CancellationToken::new())
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_task_alone() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path()).await;
        spawn(&app, "bad", async { panic!("as the test wants it") });
        assert!(finish(&app, Duration::from_secs(30)).await);
        let error = to_the_end(&app, async { panic!("as the test wants it") }).await;
        let error: ApiError = error.map(|(): ()| ()).unwrap_err();
        assert_eq!(error.code, "InternalServerError");
    }

    #[tokio::test]
    async fn work_goes_on_when_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path()).await;
        let (go, gate) = tokio::sync::oneshot::channel::<()>();
        let done = Arc::new(AtomicBool::new(false));
        let own = done.clone();
        let mut work = Box::pin(to_the_end(&app, async move {
            gate.await.map_err(ApiError::internal)?;
            own.store(true, Ordering::SeqCst);
            Ok(())
        }));
        assert!(futures_util::poll!(work.as_mut()).is_pending());
        drop(work);
        go.send(()).unwrap();
        assert!(finish(&app, Duration::from_secs(30)).await);
        assert!(done.load(Ordering::SeqCst));
    }
}
