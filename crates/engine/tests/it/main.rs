//! Tests of the engine through its public face, one binary.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod cache;
mod damage;
mod data_disks;
mod disks;
mod distribute;
mod export;
mod flood;
mod identities;
mod matrix;
mod network;
mod optimize;
mod replicate;
mod validate;
