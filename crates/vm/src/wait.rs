//! Work that waits for a disk, in the middle of async code. `cargo xtask tidy` sees to it that such work is here or in
//! `spawn_blocking`: a disk that hangs would otherwise take the runtime's threads one by one, and every task with them.

use std::io;

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task,
};

/// Does what may wait, in place, and lets the thread's other tasks go on elsewhere meanwhile. When it returns the work
/// is done, whatever becomes of the future around it: nothing of it goes on unseen after a cancellation. The rest of the
/// future's own task waits; for what takes seconds there is [`off_runtime`].
pub fn may_wait<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => task::block_in_place(work),
        // No runtime, or one with a single thread: there is no other thread to go on.
        _ => work(),
    }
}

/// Does what takes long on a thread of its own. It goes on to its end when the future is dropped.
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
    fn other_tasks_go_on_while_one_may_wait() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (send, receive) = mpsc::sync_channel(1);
        let waiting = runtime.spawn(async move {
            // Queued on the only thread, which this task keeps until it has what the other sends.
            tokio::spawn(async move { send.send("done") });
            may_wait(|| receive.recv_timeout(Duration::from_secs(20)))
        });
        assert_eq!(runtime.block_on(waiting).unwrap(), Ok("done"));
    }

    #[test]
    fn without_a_runtime_and_with_a_single_thread_it_is_done_right_here() {
        assert_eq!(may_wait(|| 1), 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(async { may_wait(|| 2) }), 2);
    }

    #[tokio::test]
    async fn a_panic_off_the_runtime_is_an_error() {
        let done: io::Result<()> = off_runtime(|| panic!("no")).await;
        assert!(done.is_err());
    }
}
