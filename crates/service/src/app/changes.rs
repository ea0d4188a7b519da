//! Changes that may fire a trigger, by key, so that the trigger check reads only the affected triggers.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use db::ResourceKey;
use tokio::sync::Notify;

/// Beyond this number of keys, the next check covers every trigger.
const LIMIT: usize = 1000;

/// A change that may fire a trigger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A version of the image definition was added or removed, or its exclusion from `latest` changed.
    Definition(ResourceKey),
    /// A run of the template ended, or the template changed.
    Template(ResourceKey),
}

/// The triggers to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All, including those of runs that ended while the service was down.
    Start,
    /// All whose source has a new version.
    All,
    /// Those that the changes affect.
    Only(BTreeSet<Change>),
}

/// The changes since the last check.
#[derive(Debug)]
pub struct Changes {
    pending: Mutex<Scope>,
    woken: Notify,
}

impl Default for Changes {
    fn default() -> Self {
        Self { pending: Mutex::new(Scope::Only(BTreeSet::new())), woken: Notify::new() }
    }
}

impl Changes {
    /// Adds a change for the next check.
    pub fn add(&self, change: Change) {
        match &mut *self.pending() {
            Scope::Only(changes) if changes.len() < LIMIT => drop(changes.insert(change)),
            // The keys of templates with ended runs are lost.
            all => *all = Scope::Start,
        }
        self.woken.notify_one();
    }

    /// Waits for changes, and returns them.
    pub async fn next(&self) -> Scope {
        loop {
            let taken = std::mem::replace(&mut *self.pending(), Scope::Only(BTreeSet::new()));
            if taken != Scope::Only(BTreeSet::new()) {
                return taken;
            }
            self.woken.notified().await;
        }
    }

    fn pending(&self) -> MutexGuard<'_, Scope> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(number: usize) -> Change {
        Change::Template(ResourceKey::of(&format!("/t{number}")))
    }

    #[tokio::test]
    async fn change_is_returned_once() {
        let changes = Changes::default();
        for number in [1, 2, 1] {
            changes.add(template(number));
        }
        let both = Scope::Only(BTreeSet::from([template(1), template(2)]));
        assert_eq!(changes.next().await, both);
        let mut next = Box::pin(changes.next());
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        changes.add(template(3));
        assert_eq!(next.await, Scope::Only(BTreeSet::from([template(3)])));
    }

    #[tokio::test]
    async fn too_many_changes_become_one_full_check() {
        let changes = Changes::default();
        for number in 0..=LIMIT {
            changes.add(template(number));
        }
        assert_eq!(changes.next().await, Scope::Start);
    }
}
