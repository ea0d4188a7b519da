//! The control plane: an ARM-compatible service for unmodified Azure clients.
//!
//! ```text
//! http (TLS, tokens, limits) → routes (the address space) → providers (one file per type) → arm, db
//! start, http → runs (trigger, worker, following, retention) → providers, engine
//!                        all of them → service (shared state)
//! ```
//!
//! `runs`, `providers`, `service`, `arm`, `db` and `engine` are crates. `cargo xtask tidy` rejects circular dependencies of
//! modules.
//!
//! Invariants: a response is sent after its changes are in the database; a terminal state is written after
//! the run's resources are released; every error in a response is an [`arm::ApiError`].

mod activity;
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

pub use activity::Options as ActivityOptions;
pub use installation::adopt;
pub use runs::{trigger, worker::Limits};
pub use service::{
    App, Settings,
    auth::{certificate, credentials, federated, key::rotate as rotate_signing_key, principal},
    roles,
    server_folder::dir,
    subscriptions,
};
pub use start::{Machines, Options, Running, open_store, start};
pub use tls::{Given, renew_ca};
pub use unknown::{Unknown, unknown};
