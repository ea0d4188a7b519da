//! Conversations that were recorded with real Windows systems, and what this client makes of them.
//!
//! They are 522 pairs of a request and an answer in 67 files, from pypsrp's own tests, with Windows of
//! the builds 14393, 17763 and 26236. One pair is the file's description of itself and no message; in
//! one there is no answer, because the connection was cut.
//!
//! - [`answers`]: each of the answers is read, and what matters here is compared with what a plain search
//!   in its text finds.
//! - [`requests`]: each of the requests of the kinds that this client writes is written again, and
//!   compared as a tree, with a list of what may differ.
//! - [`conversations`]: each conversation with a shell of `cmd.exe` is held again by the whole client
//!   above the connection, with the recorded answers, down to the output and the exit code that pypsrp's tests expect.

mod answers;
mod conversations;
mod recordings;
mod requests;
