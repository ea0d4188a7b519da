//! Locks: what nobody may change, whatever the role.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use crate::{Effect, Need, Scope, Wanted};

/// What a lock forbids.
///
/// Source: Azure Resource Manager documentation, "Lock your resources to protect your infrastructure".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockLevel {
    /// To delete.
    CanNotDelete,
    /// To delete, to change, and to act.
    ReadOnly,
}

/// A lock at a scope, which holds at everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The id of the lock itself.
    pub id: String,
    /// Where it holds.
    pub scope: Scope,
    /// What it forbids.
    pub level: LockLevel,
}

/// All locks, by scope.
#[derive(Debug, Clone, Default)]
pub struct Locks(BTreeMap<Arc<str>, Vec<Lock>>);

impl Locks {
    /// By scope.
    pub fn new(locks: impl IntoIterator<Item = Lock>) -> Self {
        let mut by_scope = BTreeMap::<Arc<str>, Vec<Lock>>::new();
        for lock in locks {
            by_scope.entry(Arc::clone(lock.scope.key())).or_default().push(lock);
        }
        Self(by_scope)
    }

    /// The lock in the way, if there is one.
    pub fn against(&self, need: &Need) -> Option<&Lock> {
        let effect = match &need.wanted {
            Wanted::Action(_) if !is_exempt(need.wanted.name()) => need.wanted.effect(),
            Wanted::Action(_) | Wanted::Data(_) => return None,
        };
        let stops = |lock: &&Lock| match (lock.level, effect) {
            (_, Effect::Read) | (LockLevel::CanNotDelete, Effect::Write | Effect::Act) => false,
            (LockLevel::ReadOnly, _) | (LockLevel::CanNotDelete, Effect::Delete) => true,
        };
        let at_or_above = need.scope.keys().filter_map(|key| self.0.get(key)).flatten().find(stops);
        if at_or_above.is_some() || effect != Effect::Delete {
            return at_or_above;
        }
        let key: &str = need.scope.key();
        self.0
            .range::<str, _>((Bound::Included(key), Bound::Unbounded))
            .take_while(|(below, _)| below.starts_with(key))
            .flat_map(|(_, locks)| locks)
            .find(stops)
    }
}

/// Whether locks do not stop an action: the one that takes a lock away must be possible under it.
fn is_exempt(action: &str) -> bool {
    const LOCKS: &str = "Microsoft.Authorization/locks/";
    action.get(..LOCKS.len()).is_some_and(|start| start.eq_ignore_ascii_case(LOCKS))
}
