//! A goldsmith service as its client sees it: who we are there, and the calls that commands make.

mod client;
mod login;
mod sse;

pub(crate) use client::{Client, Followed};
pub(crate) use login::Login;
