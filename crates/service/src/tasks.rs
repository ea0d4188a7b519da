//! Background tasks of the service.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use arm::ApiError;
use futures_util::FutureExt;
use images::error::panic_text;

use crate::App;

/// Starts a task. Shutdown waits for it, and a panic is logged under its name. The caller must ensure that
/// a restart resumes its work.
pub fn spawn(app: &App, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    app.tasks().spawn(async move {
        if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
            let panic = panic_text(panic.as_ref());
            tracing::error!(task = name, panic, "a background task panicked");
        }
    });
}

/// Completes work even if the caller is dropped: when a client hangs up, its request ends at any `await`,
/// but not between a commit and the start of the promised work.
pub async fn to_the_end<T: Send + 'static>(
    app: &App,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    app.tasks().spawn(work).await.map_err(ApiError::internal).flatten()
}

/// Waits for the end of all tasks, up to a limit. Returns whether all have ended.
pub async fn finish(app: &App, limit: Duration) -> bool {
    app.tasks().close();
    tokio::time::timeout(limit, app.tasks().wait()).await.is_ok()
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
    async fn panic_ends_only_its_task() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path()).await;
        spawn(&app, "bad", async { panic!("for the test") });
        assert!(finish(&app, Duration::from_secs(30)).await);
        let error = to_the_end(&app, async { panic!("for the test") }).await;
        let error: ApiError = error.map(|(): ()| ()).unwrap_err();
        assert_eq!(error.code, "InternalServerError");
    }

    #[tokio::test]
    async fn work_is_completed_after_the_caller_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path()).await;
        let (go, gate) = tokio::sync::oneshot::channel::<()>();
        let done = Arc::new(AtomicBool::new(false));
        let flag = done.clone();
        let mut work = Box::pin(to_the_end(&app, async move {
            gate.await.map_err(ApiError::internal)?;
            flag.store(true, Ordering::SeqCst);
            Ok(())
        }));
        assert!(futures_util::poll!(work.as_mut()).is_pending());
        drop(work);
        go.send(()).unwrap();
        assert!(finish(&app, Duration::from_secs(30)).await);
        assert!(done.load(Ordering::SeqCst));
    }
}
