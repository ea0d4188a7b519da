//! What the whole service shares, below its resource types: the [`App`] with its settings and its wake-ups, the service's
//! own folder and what is in it, the blobs of accounts, tombstones, service principals and tokens, and the rules that hold
//! for the rows of every type.
//!
//! ```text
//! resources (what holds for every type) → quotas, held → app, blobs
//! tombstones → blobs → app, run_folder     tasks → app
//! tombstones → own_folder
//! ```
//!
//! Nothing here knows a resource type, a socket or a worker.

pub mod app;
pub mod auth;
pub mod blobs;
pub mod conceal;
pub mod held;
pub mod names;
pub mod own_folder;
pub mod query;
pub mod quotas;
mod resources;
pub mod run_folder;
pub mod tasks;
pub mod tombstones;

pub use app::{App, Settings, quotas::Quotas};
