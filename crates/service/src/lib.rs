//! The parts of the service below its resource types: the [`App`] with its settings and notifications, the server's
//! folder, the blobs of accounts, tombstones, service principals and tokens, and the rules for resources of every type.
//!
//! ```text
//! resources (rules for every type) → quotas, read_only → app, blobs
//! tombstones → blobs → app, run_folder     tasks → app
//! tombstones → server_folder                  activity → app, conceal, events
//! ```
//!
//! This crate does not depend on resource types, sockets or workers.

pub mod activity;
pub mod app;
pub mod auth;
pub mod blobs;
pub mod conceal;
mod events;
pub mod names;
pub mod query;
pub mod quotas;
pub mod read_only;
mod resources;
pub mod roles;
pub mod run_folder;
pub mod server_folder;
pub mod subscriptions;
pub mod tasks;
pub mod tombstones;

pub use app::{App, Settings, quotas::Quotas};
