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

    /// The lock in the way of an action, if there is one: at its scope or above it, and below it if the action deletes the
    /// scope itself. Locks do not stop actions on data.
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
        if at_or_above.is_some() || effect != Effect::Delete || !removes_scope(need) {
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

/// Whether a deletion removes the scope itself with all that is below it, rather than something that is attached to it, such
/// as a role assignment: whether the action is on the scope's own type.
fn removes_scope(need: &Need) -> bool {
    let mut asked = need.wanted.name().split('/');
    let mut is_next = |part: &str| asked.next().is_some_and(|own| own.eq_ignore_ascii_case(part));
    need.scope.kind().all(&mut is_next) && is_next("delete") && asked.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "/subscriptions/s/resourceGroups/g";
    const IMAGE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/i";

    fn is_locked(level: LockLevel, at: &str, action: &'static str, scope: &str) -> bool {
        let locks = Locks::new([Lock { id: "l".to_owned(), scope: Scope::parse(at), level }]);
        locks.against(&Need::new(Wanted::action(action), Scope::parse(scope))).is_some()
    }

    #[test]
    fn delete_lock_stops_deletion_and_read_only_lock_also_changes_and_verbs() {
        let both = |action| {
            [LockLevel::CanNotDelete, LockLevel::ReadOnly]
                .map(|level| is_locked(level, GROUP, action, IMAGE))
        };
        assert_eq!(both("Microsoft.Compute/images/read"), [false, false]);
        assert_eq!(both("Microsoft.Compute/images/write"), [false, true]);
        assert_eq!(both("Microsoft.Compute/images/export/action"), [false, true]);
        assert_eq!(both("Microsoft.Compute/images/DELETE"), [true, true]);
        assert_eq!(both("Microsoft.Authorization/roleAssignments/write"), [false, true]);
        assert_eq!(both("Microsoft.Authorization/roleAssignments/delete"), [true, true]);
        assert_eq!(both("Microsoft.Authorization/locks/delete"), [false, false]);
    }

    #[test]
    fn lock_holds_below_its_scope_and_not_beside_it() {
        let delete = "Microsoft.Compute/images/delete";
        for level in [LockLevel::CanNotDelete, LockLevel::ReadOnly] {
            assert!(is_locked(level, "/", delete, IMAGE) && is_locked(level, IMAGE, delete, IMAGE));
            assert!(!is_locked(level, "/subscriptions/s/resourceGroups/g1", delete, IMAGE));
        }
    }

    #[test]
    fn lock_below_stops_the_deletion_of_its_scope_but_not_of_what_is_attached_to_it() {
        let below = |action, scope| is_locked(LockLevel::CanNotDelete, IMAGE, action, scope);
        assert!(below("Microsoft.Resources/subscriptions/resourceGroups/delete", GROUP));
        assert!(below("Microsoft.Resources/subscriptions/delete", "/subscriptions/s"));
        assert!(!below("Microsoft.Authorization/roleAssignments/delete", GROUP));
        assert!(!below("Microsoft.Resources/deployments/delete", GROUP));
        assert!(!below("Microsoft.Resources/subscriptions/resourceGroups/write", GROUP));
        let container = format!("{IMAGE}/a/b");
        let gallery = |action| is_locked(LockLevel::ReadOnly, &container, action, IMAGE);
        assert!(gallery("microsoft.compute/IMAGES/delete"));
    }

    #[test]
    fn locks_do_not_stop_actions_on_data() {
        let lock = Lock { id: "l".to_owned(), scope: Scope::root(), level: LockLevel::ReadOnly };
        let need = Need::new(Wanted::data("Microsoft.Storage/blobs/delete"), Scope::root());
        assert_eq!(Locks::new([lock]).against(&need), None);
    }
}
