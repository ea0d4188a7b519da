//! Real machines, through the executable.

#![allow(clippy::disallowed_methods, reason = "tests start programs")]

mod cancel;
mod failure;
mod forge;
mod input;
mod keep;
mod together;
