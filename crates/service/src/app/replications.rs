//! Limits replication: one task per image version, and a few versions at the same time.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use db::ResourceKey;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Versions that are replicated at the same time: each reads a disk and connects to all of its regions.
const AT_ONCE: usize = 4;

/// The active replication tasks.
#[derive(Debug)]
pub struct Replications {
    by_version: Mutex<HashMap<ResourceKey, Handle>>,
    permits: Semaphore,
}

/// Stops a replication task from outside.
#[derive(Debug, Clone)]
pub struct Handle {
    stop: CancellationToken,
    over: CancellationToken,
}

impl Handle {
    /// Stops the task, and waits for its end.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.over.cancelled().await;
    }
}

/// Held by a replication task, or to keep tasks away from a version; dropping it marks the end.
#[derive(Debug)]
pub struct Guard {
    stop: CancellationToken,
    _over: DropGuard,
}

impl Guard {
    /// Cancelled when the task must stop. A method, because an async block would capture a field alone and drop the rest.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl Default for Replications {
    fn default() -> Self {
        Self { by_version: Mutex::default(), permits: Semaphore::new(AT_ONCE) }
    }
}

impl Replications {
    /// Registers a new task for a version, and returns the earlier one, which the caller must stop first. The new task
    /// stops at the latest with the service.
    pub fn begin(
        &self,
        version: &ResourceKey,
        shutdown: &CancellationToken,
    ) -> (Guard, Option<Handle>) {
        let handle = Handle { stop: shutdown.child_token(), over: CancellationToken::new() };
        let guard = Guard { stop: handle.stop.clone(), _over: handle.over.clone().drop_guard() };
        let mut all = self.all();
        all.retain(|_, handle| !handle.over.is_cancelled());
        (guard, all.insert(version.clone(), handle))
    }

    /// Registers a new task after the end of the earlier one.
    pub async fn take_over(&self, version: &ResourceKey, shutdown: &CancellationToken) -> Guard {
        let (guard, older) = self.begin(version, shutdown);
        if let Some(older) = older {
            older.stop().await;
        }
        guard
    }

    /// Waits for a permit to replicate.
    pub async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.permits.acquire().await.ok()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ResourceKey, Handle>> {
        // A panic elsewhere does not damage the map.
        self.by_version.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn new_task_waits_for_the_end_of_the_earlier_one() {
        let (replications, key) = (Replications::default(), ResourceKey::of("/v"));
        let shutdown = CancellationToken::new();
        let (first, none) = replications.begin(&key, &shutdown);
        assert!(none.is_none());
        let (second, older) = replications.begin(&key, &shutdown);
        let older = older.unwrap();
        let mut stopping = Box::pin(older.stop());
        assert!(futures_util::poll!(stopping.as_mut()).is_pending());
        assert!(first.stop().is_cancelled() && !second.stop().is_cancelled());
        drop(first);
        stopping.await;
        drop(second);
        // An ended task is not waited for.
        let third = replications.take_over(&key, &shutdown).await;
        assert!(!third.stop().is_cancelled());
    }
}
