//! Microsoft.Resources/deployments: a client sends a template, and its resources are made in the order of their
//! dependencies.
//!
//! ```text
//! request, links ─ load ─ arm_template::Plan ─ check (preflight) ─ accept ─ rows, and a task: run
//! run    ready resources ─ commit (steps Running) ─ evaluate, PUT through the routes, wait ─ commit (ended steps)
//!        outputs, deletions of Complete mode, rollback ─ commit (row and operation)
//! restart: the task reads the steps and goes on; what was written already is not written again
//! what_if: the same plan, compared with what exists
//! ```
//!
//! The service's routes make the resources ([`Manager`]): a deployment has no way of its own to any resource type.

mod accept;
mod answer;
mod ask;
mod begin;
mod check;
mod errors;
mod facts;
mod history;
mod links;
mod load;
mod manager;
mod place;
mod record;
mod request;
mod run;
mod source;
mod surplus;
mod time;
mod tree;
mod view;
mod what_if;

pub use answer::{handle, operations, template_hash};
pub use manager::{Manager, Routes, Rules};
pub use record::KIND;
pub use run::resume;
