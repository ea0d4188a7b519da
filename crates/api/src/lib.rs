//! The wire contract: template model, resource ids, error codes. Pure data and pure functions.

/// Stable error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    InternalError,
}
