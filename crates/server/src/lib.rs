//! The control plane: an ARM-compatible service that unmodified Azure clients drive.
//!
//! ```text
//! http (TLS, tokens, limits) → routes (the address space) → providers (one file a type) → arm, db (crates)
//! start → runs (trigger, worker, following, retention) → providers, blobs, engine
//!                        all of them → app (what the whole service shares)
//! ```
//!
//! Each arrow leads one way: `cargo xtask tidy` refuses a circle of modules.
//!
//! Invariants: what was acknowledged is in the database before the answer is sent; a terminal state is
//! written only after everything a run held is released; every error leaves through [`arm::ApiError`].

mod app;
mod auth;
pub mod backup;
mod blobs;
mod conceal;
mod files;
mod http;
mod installation;
mod lease;
mod limits;
mod listener;
pub mod log;
mod names;
mod own_folder;
mod providers;
mod query;
mod refusal;
mod renewal;
mod routes;
mod run_folder;
pub mod runs;
mod start;
mod tasks;
mod tls;
mod tombstones;
mod unknown;

pub use app::{App, Settings};
pub use auth::{key::rotate as rotate_signing_key, principal};
pub use installation::adopt;
pub use own_folder::dir;
pub use start::{Machines, Options, Running, open_store, start};
pub use tls::{Given, renew_ca};
pub use unknown::{Unknown, unknown};
