//! The QEMU machine protocol over a UNIX socket.
//!
//! One client per socket, one reading task per client. Commands carry an id and may run
//! concurrently; each has a deadline. Events go to every subscriber. Unknown fields in answers are
//! ignored, so that newer releases of QEMU work.

mod client;
mod descriptor;

pub use client::{Client, Error, Event};
