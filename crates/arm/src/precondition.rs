//! ETags, and the requests that name one: `If-Match` and `If-None-Match` as ARM's contract and HTTP have them.

use db::Resource;
use http::StatusCode;

use crate::{ApiError, Call, Method};

/// The ETag of a resource as it is now. Revisions begin anew when a resource is deleted and made again, so the time
/// when it was made is a part of it.
pub fn etag(resource: &Resource) -> String {
    format!("\"{:x}-{}\"", resource.created.as_nanosecond(), resource.revision)
}

/// `If-Match` and `If-None-Match: *`.
///
/// # Errors
/// `PreconditionFailed`
pub fn check_precondition(call: &Call, held: Option<&Resource>) -> Result<(), ApiError> {
    if matches!(call.method, Method::Get | Method::Head | Method::Post) {
        return Ok(());
    }
    let bare = |text: &str| text.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    let holds = match (call.if_match.as_deref().map(str::trim), held) {
        (None | Some(""), _) | (Some("*"), Some(_)) | (Some("!*"), None) => true,
        (Some("!*"), Some(_)) | (Some(_), None) => false,
        (Some(wanted), Some(held)) => wanted.split(',').any(|one| bare(one) == bare(&etag(held))),
    };
    if holds {
        return Ok(());
    }
    let now = held.map_or_else(|| "there is none".to_owned(), etag);
    Err(ApiError::new(
        StatusCode::PRECONDITION_FAILED,
        "PreconditionFailed",
        format!(
            "The precondition of the request is not met: the ETag of '{}' is {now}. Read it again and retry.",
            call.path.text
        ),
    ))
}
