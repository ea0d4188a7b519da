//! Work in guests with Windows, on a scripted machine: what reaches the guest, and what becomes of
//! each of its answers. What the scripts do in Windows is not shown by any of this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

mod boot;
mod copy;
mod generalize;
mod played;
mod restart;
mod script;
mod stage;
mod update;
mod wine;
