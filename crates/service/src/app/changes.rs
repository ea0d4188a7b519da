//! What was written that a trigger may be waiting for, by key: a look then reads the triggers that it
//! concerns and no others.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use db::ResourceKey;
use tokio::sync::Notify;

/// More keys than this are not kept apart: then every trigger is looked at.
const MOST: usize = 1000;

/// Something that was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// An image definition has a version more or less, or a version counts for `latest` or no longer does.
    Definition(ResourceKey),
    /// A run of the template ended, or the template itself was changed.
    Template(ResourceKey),
}

/// Which triggers to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every one, also for runs that ended while the service did not run.
    Start,
    /// Every one whose source has moved on.
    All,
    /// Those that these changes concern.
    Only(BTreeSet<Change>),
}

/// The changes since the last look.
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
    /// Notes a change. It cannot come too early: the next look takes it.
    pub fn add(&self, change: Change) {
        match &mut *self.pending() {
            Scope::Only(changes) if changes.len() < MOST => drop(changes.insert(change)),
            // Which templates had runs that ended is not known any more.
            all => *all = Scope::Start,
        }
        self.woken.notify_one();
    }

    /// Waits for changes, and takes them.
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
    async fn changes_are_taken_once_and_each_once() {
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
    async fn too_many_changes_take_no_more_room() {
        let changes = Changes::default();
        for number in 0..=MOST {
            changes.add(template(number));
        }
        assert_eq!(changes.next().await, Scope::Start);
    }
}
