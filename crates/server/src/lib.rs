//! The control plane: an ARM-compatible service that unmodified Azure clients drive.
//!
//! ```text
//! http (TLS, tokens, limits) → routes (the address space) → providers (one file a type) → arm, db
//! start, http → runs (trigger, worker, following, retention) → providers, engine
//!                        all of them → service (what the whole service shares)
//! ```
//!
//! `runs`, `providers`, `service`, `arm`, `db` and `engine` are crates. Each arrow leads one way: `cargo xtask tidy` refuses a
//! circle of modules.
//!
//! Invariants: what was acknowledged is in the database before the answer is sent; a terminal state is
//! written only after everything a run held is released; every error leaves through [`arm::ApiError`].

pub mod backup;
mod http;
mod installation;
mod lease;
mod limits;
mod listener;
pub mod log;
mod renewal;
mod routes;
mod start;
mod tls;
mod unknown;

pub use installation::adopt;
pub use runs::{trigger, worker::Limits};
pub use service::{
    App, Settings,
    auth::{key::rotate as rotate_signing_key, principal},
    server_folder::dir,
};
pub use start::{Machines, Options, Running, open_store, start};
pub use tls::{Given, renew_ca};
pub use unknown::{Unknown, unknown};
