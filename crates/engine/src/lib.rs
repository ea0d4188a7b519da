//! From an image template to artifacts: plan, sources, nodes, customizers, distributors, ledger.
//!
//! Invariants: this crate serves no HTTP and knows no SQL; a node is never changed once it is
//! visible; whatever must be released is in the ledger before it exists.

pub mod cx;
pub mod error;
pub mod event;
pub mod layout;
