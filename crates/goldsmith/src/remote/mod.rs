//! The client of a goldsmith service: the login and the calls of commands.

mod client;
mod login;
mod sse;

pub(crate) use client::{Client, Followed};
pub(crate) use login::Login;
