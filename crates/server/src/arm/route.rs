//! From a call to the handler: the whole of ARM's address space on one screen.

use http::StatusCode;

use super::{ApiError, Call, Reply};
use crate::App;

/// Answers one call. Every error leaves as [`ApiError`]; the envelope is the HTTP layer's.
pub async fn handle(_app: &App, call: Call) -> Result<Reply, ApiError> {
    Err(ApiError::new(
        StatusCode::NOT_FOUND,
        "InvalidResourceType",
        format!("There is nothing at '{}'.", call.path.text),
    ))
}
