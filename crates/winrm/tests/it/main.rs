//! The client against a stand-in for Windows (testdata/fake): what ordinary services do, and what broken or hostile ones do.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start programs")]

mod fake;
mod hostile;
mod ntlm;
mod ordinary;
mod silent;
mod upload;
