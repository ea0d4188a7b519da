//! ETags, and the preconditions `If-Match` and `If-None-Match` of ARM's contract and HTTP.

use db::Resource;
use http::StatusCode;

use crate::{ApiError, Call, Method};

/// The current ETag of a resource. It contains the time of creation, because revisions start again when a resource is
/// deleted and recreated.
pub fn etag(resource: &Resource) -> String {
    format!("\"{:x}-{}\"", resource.created.as_nanosecond(), resource.revision)
}

/// Checks `If-Match` and `If-None-Match: *`.
///
/// # Errors
/// `PreconditionFailed`
pub fn check_precondition(call: &Call, existing: Option<&Resource>) -> Result<(), ApiError> {
    if matches!(call.method, Method::Get | Method::Head | Method::Post) {
        return Ok(());
    }
    let bare = |text: &str| text.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    let holds = match (call.if_match.as_deref().map(str::trim), existing) {
        (None | Some(""), _) | (Some("*"), Some(_)) | (Some("!*"), None) => true,
        (Some("!*"), Some(_)) | (Some(_), None) => false,
        (Some(wanted), Some(existing)) => {
            wanted.split(',').any(|one| bare(one) == bare(&etag(existing)))
        }
    };
    if holds {
        return Ok(());
    }
    let current = existing.map_or_else(|| "not set, as it does not exist".to_owned(), etag);
    Err(ApiError::new(
        StatusCode::PRECONDITION_FAILED,
        "PreconditionFailed",
        format!(
            "The precondition of the request is not met: the ETag of '{}' is {current}. Read it again and retry.",
            call.path.text
        ),
    ))
}
