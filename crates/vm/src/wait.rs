//! Blocking disk work in async code. A disk that hangs would block the runtime's threads one by
//! one, and every task with them. `cargo xtask tidy` therefore requires that such work runs in one
//! of these functions or in `spawn_blocking`.

use std::io;

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task,
};

/// Runs blocking work on the current thread. The runtime moves the thread's other tasks elsewhere
/// first. Unlike a spawned task, the work cannot continue after the caller's future is dropped.
/// The caller's own task waits; work that takes seconds belongs in [`off_runtime`].
pub fn may_wait<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => task::block_in_place(work),
        // No runtime, or one with a single thread: no other thread could take over the tasks.
        _ => work(),
    }
}

/// Runs long work on a separate thread. It runs to completion even if the future is dropped.
pub async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn may_wait_lets_other_tasks_run() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (send, receive) = mpsc::sync_channel(1);
        let waiting = runtime.spawn(async move {
            // Queued on the only worker thread, which this task blocks until it receives the message.
            tokio::spawn(async move { send.send("done") });
            may_wait(|| receive.recv_timeout(Duration::from_secs(20)))
        });
        assert_eq!(runtime.block_on(waiting).unwrap(), Ok("done"));
    }

    #[test]
    fn may_wait_without_spare_threads_runs_in_place() {
        assert_eq!(may_wait(|| 1), 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(async { may_wait(|| 2) }), 2);
    }

    #[tokio::test]
    async fn off_runtime_panic_is_an_error() {
        let done: io::Result<()> = off_runtime(|| panic!("no")).await;
        assert!(done.is_err());
    }
}
