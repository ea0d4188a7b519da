//! A client for Windows Remote Management (WinRM): runs commands in a WinRS shell of a Windows guest.
//!
//! A [`Client`] makes its own connections for each command: one to start it and to receive its output,
//! a second one for its standard input, so that a command may write while it reads. The guest is not
//! trusted: an answer has a largest size, each wait has an end, and whatever else it sends is an
//! [`Error`]. A connection that is lost within a command is an error too, since output may be lost
//! with it.
//!
//! Over HTTPS the guest's certificate is known beforehand and compared by its bytes. Over HTTP, NTLM
//! authenticates both sides and encrypts each message; nothing is ever sent in the clear.
//!
//! Not here: machines, templates, PowerShell's arguments, files. PowerShell's way to write errors as
//! XML is decoded by [`clixml`].

#![warn(missing_docs)]

pub mod clixml;

mod channel;
mod client;
mod error;
mod http;
mod https;
mod input;
mod link;
mod login;
mod ntlm;
mod record;
#[cfg(test)]
mod replay;
mod run;
mod soap;
mod streams;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use error::Error;
pub use login::{Endpoint, Fingerprint, Login, Transport};
pub use record::Recorder;
pub use soap::answer::Identity;
pub use streams::{Input, Output, Stream};
