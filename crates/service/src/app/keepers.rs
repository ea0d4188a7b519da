//! Who is at the copies of which version: one at a time for a version, and few together.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use db::ResourceKey;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Versions that are copied at a time: each reads a disk and keeps connections to all of its regions.
const AT_ONCE: usize = 4;

/// Those who are at work.
#[derive(Debug)]
pub struct Keepers {
    by_version: Mutex<HashMap<ResourceKey, Keeper>>,
    turns: Semaphore,
}

/// One of them, as others know it.
#[derive(Debug, Clone)]
pub struct Keeper {
    stop: CancellationToken,
    over: CancellationToken,
}

impl Keeper {
    /// Stops it, and waits until nothing of it goes on.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.over.cancelled().await;
    }
}

/// One of them, as it knows itself; its end is told when this is dropped.
#[derive(Debug)]
pub struct AtWork {
    stop: CancellationToken,
    _over: DropGuard,
}

impl AtWork {
    /// Fires when it is to end. No field, so that a task that asks for it takes all of this along and not that field alone.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl Default for Keepers {
    fn default() -> Self {
        Self { by_version: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Keepers {
    /// A new one for the version, which ends with the service at the latest, and the one who is to be stopped before
    /// it begins.
    pub fn begin(
        &self,
        version: &ResourceKey,
        shutdown: &CancellationToken,
    ) -> (AtWork, Option<Keeper>) {
        let keeper = Keeper { stop: shutdown.child_token(), over: CancellationToken::new() };
        let at_work = AtWork { stop: keeper.stop.clone(), _over: keeper.over.clone().drop_guard() };
        let mut all = self.all();
        all.retain(|_, keeper| !keeper.over.is_cancelled());
        (at_work, all.insert(version.clone(), keeper))
    }

    /// The same once the older one is over.
    pub async fn take_over(&self, version: &ResourceKey, shutdown: &CancellationToken) -> AtWork {
        let (at_work, older) = self.begin(version, shutdown);
        if let Some(older) = older {
            older.stop().await;
        }
        at_work
    }

    /// Waits until not too many are at work.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ResourceKey, Keeper>> {
        // A panic elsewhere leaves the map as good as it was.
        self.by_version.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_one_waits_for_the_end_of_the_older() {
        let (keepers, key) = (Keepers::default(), ResourceKey::of("/v"));
        let shutdown = CancellationToken::new();
        let (first, none) = keepers.begin(&key, &shutdown);
        assert!(none.is_none());
        let (second, older) = keepers.begin(&key, &shutdown);
        let older = older.unwrap();
        let mut stopping = Box::pin(older.stop());
        assert!(futures_util::poll!(stopping.as_mut()).is_pending());
        assert!(first.stop().is_cancelled() && !second.stop().is_cancelled());
        drop(first);
        stopping.await;
        drop(second);
        // One that is over is not waited for.
        let third = keepers.take_over(&key, &shutdown).await;
        assert!(!third.stop().is_cancelled());
    }
}
