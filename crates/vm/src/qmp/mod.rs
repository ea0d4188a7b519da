//! Talks to QEMU: the machine protocol over a UNIX socket.
//!
//! One client per socket, one reading task per client. Commands carry an id and may be in flight
//! side by side; each has a deadline. Events go to every subscriber. What QEMU adds to its answers
//! over the years is ignored.

mod client;
mod descriptor;

pub use client::{Client, Error, Event};
