//! Who may do what, as clients see and change it: `Microsoft.Authorization` at any scope.
//!
//! ```text
//! definitions   role definitions: built-in ones, and those of clients, which belong to the tenant
//! assignments   a role that a principal has at a scope
//! locks         what nobody may delete or change
//! permissions   the caller's own permissions; deny assignments (always empty)
//! operations    all actions that roles can permit
//! principals    who can have a role
//! activity      the activity log: who did what
//! ```
//!
//! Invariants:
//! - The routes have decided whether the caller may do the request at its scope. The modules decide about what else it
//!   reaches (all scopes of a role definition), and show in lists only what the caller may read.
//! - Each change of a role, an assignment or a lock is one commit, so it counts at once and completely.
//! - Ids of role definitions are those of the subscription in the request: clients compare them as text.

mod activity;
mod assignments;
mod definitions;
mod filter;
mod locks;
mod operations;
mod permissions;
mod place;
pub mod principals;

use arm::Actions;

pub use activity::{activity, event_categories};
pub use assignments::{assignments, check_owner_stays};
pub use definitions::definitions;
pub use locks::locks;
pub use operations::provider_operations;
pub use permissions::{deny_assignments, permissions};

/// The actions on role definitions.
pub const DEFINITIONS: Actions = arm::actions!("Microsoft.Authorization/roleDefinitions");
/// The actions on role assignments.
pub const ASSIGNMENTS: Actions = arm::actions!("Microsoft.Authorization/roleAssignments");
/// The actions on locks.
pub const LOCKS: Actions = arm::actions!("Microsoft.Authorization/locks");
/// The actions on the caller's permissions.
pub const PERMISSIONS: Actions = arm::actions!("Microsoft.Authorization/permissions");
/// The actions on deny assignments.
pub const DENY_ASSIGNMENTS: Actions = arm::actions!("Microsoft.Authorization/denyAssignments");
/// The actions on the list of all actions.
pub const PROVIDER_OPERATIONS: Actions =
    arm::actions!("Microsoft.Authorization/providerOperations");
/// The actions on the activity log: it is only read.
pub const EVENTS: Actions = arm::actions!("Microsoft.Insights/eventtypes/values");
