//! Real machines, through the executable.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start programs")]

mod cancel;
mod failure;
mod forge;
mod input;
mod keep;
mod network;
mod service;
mod together;
