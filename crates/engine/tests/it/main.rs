//! Tests of the engine's public API, in one binary.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod cache;
mod contact;
mod damage;
mod data_disks;
mod disks;
mod distribute;
mod events;
mod export;
mod flood;
mod identities;
mod matrix;
mod network;
mod optimize;
mod partition;
mod ram;
mod replicate;
mod template;
mod validate;
mod windows;
