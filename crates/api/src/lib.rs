//! The wire contract: template model, resource ids, error codes. Pure data and pure functions.

mod error_code;

pub use error_code::{ErrorCode, UnknownErrorCode};
