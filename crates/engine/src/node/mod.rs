//! The node graph: immutable states of a build machine, named by everything that produced them.
//!
//! ```text
//! sources/<digest>/disk.qcow2 <- nodes/<booted>/disk.qcow2 <- nodes/<step>/disk.qcow2 <- ...
//! ```
//!
//! Invariants: a node appears by one rename and never changes; a node's folder contains an overlay
//! on its parent's disk, so a node with children or with a user is never evicted.

mod meta;
mod store;
mod sweep;
mod verify;

pub use meta::{DataShape, NodeMeta, Parent, RamMeta, Shape};
pub use store::{Node, NodeStore};
pub use sweep::sweep;
pub use verify::Damage;
