//! The control plane: an ARM-compatible service that unmodified Azure clients drive.
//!
//! ```text
//! http (TLS, tokens, limits) → arm (paths, api-versions, errors, paging) → providers (one file a type)
//!                                                      ↓                        ↓
//!                                               operation (long running)   db (SQL)   
//!                                                                               ↑
//!                                                                 worker → engine (builds)
//! ```
//!
//! Invariants: what was acknowledged is in the database before the answer is sent; a terminal state is
//! written only after everything a run held is released; every error leaves through [`arm::ApiError`].

mod app;
pub mod arm;
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
pub mod live;
pub mod log;
mod operation;
mod own_folder;
mod providers;
mod query;
mod region;
mod renewal;
mod retention;
mod routes;
mod run_folder;
mod start;
mod tasks;
mod tls;
mod tombstones;
pub mod trigger;
mod unknown;
pub mod worker;

pub use app::{App, Settings};
pub use auth::{key::rotate as rotate_signing_key, principal};
pub use installation::adopt;
pub use own_folder::dir;
pub use start::{Machines, Options, Running, open_store, start};
pub use tls::{Given, renew_ca};
pub use unknown::{Unknown, unknown};
