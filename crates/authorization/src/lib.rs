//! The decision who may do what, as a pure library: no I/O, no clock, no allocation per decision.
//!
//! A [`Need`] is an action (or a data action) at a [`Scope`]. [`Rights`] are the roles that a principal has at scopes, and
//! the locks. [`Rights::check`] decides:
//!
//! ```
//! use std::sync::Arc;
//!
//! use authorization::{Grant, Locks, Need, Principal, Rights, Scope, Wanted, built_in};
//!
//! let reader = built_in::named("Reader").unwrap();
//! let grant = Grant { assignment: "1".into(), role: reader.role(), condition: None };
//! let group = Scope::parse("/subscriptions/s/resourceGroups/images");
//! let rights = Rights::new(Principal::default(), vec![(group, grant)], Arc::new(Locks::default()));
//!
//! let image = "/subscriptions/S/resourcegroups/Images/providers/Microsoft.Compute/images/web";
//! let need = |action| Need::new(Wanted::action(action), Scope::parse(image));
//! assert!(rights.check(&need("Microsoft.Compute/images/read")).is_ok());
//! assert!(rights.check(&need("Microsoft.Compute/images/delete")).is_err());
//! ```
//!
//! Invariants:
//! - What is not granted is refused. Grants add up: another role never takes a right, `notActions` are exceptions of
//!   their own role only, and a lock only ever takes.
//! - A right at a scope holds at everything below it, by whole segments: `rg1` is not above `rg10`.
//! - What cannot be decided here (a condition that asks about the request) grants nothing.
//!
//! The crate does not know where assignments are stored, who a caller is, or which action a request needs. There are no
//! deny assignments: only managed applications and deployment stacks make them in Azure.

#![warn(missing_docs)]

pub mod built_in;
mod condition;
#[cfg(test)]
mod fuzz;
mod lock;
mod need;
mod pattern;
mod rights;
mod role;
mod scope;

pub use condition::Condition;
pub use lock::{Lock, LockLevel, Locks};
pub use need::{Effect, Need, Rule, Wanted};
pub use pattern::{InvalidPattern, Pattern};
pub use rights::{Denial, Grant, Principal, Rights, Visible};
pub use role::{Permission, Role};
pub use scope::Scope;
