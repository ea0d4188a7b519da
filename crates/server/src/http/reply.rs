//! Converts replies and errors to HTTP responses.

use arm::{ApiError, Path, Reply};
use axum::{
    body::{Body, HttpBody},
    extract::Request,
    response::Response,
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use service::conceal::Conceal;

use crate::limits::Cut;

/// The api-versions of the image builder whose errors have no envelope.
const BARE: [&str; 2] = ["2020-02-14", "2019-05-01-preview"];

/// The maximum length of a message, which may repeat input.
const MESSAGE_BYTES: usize = 16 * 1024;

/// The default of `Retry-After`.
pub(super) const RETRY_AFTER_SECONDS: &str = "5";

/// A JSON response.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    // Serializing a `Value` cannot fail, as its keys are strings.
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// A response without content.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The response for a handler's reply.
pub(super) fn of(reply: &Reply) -> Response {
    let mut response = match &reply.body {
        Some(body) => json(reply.status, body),
        None => empty(reply.status),
    };
    for (name, value) in &reply.headers {
        set(&mut response, name, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// An error, in its envelope or `bare`.
pub(super) fn error(error: &ApiError, bare: bool) -> Response {
    if let Some(internal) = &error.internal {
        tracing::error!(code = %error.code, reason = %internal, "a request failed inside");
    }
    let mut own = error.body();
    shorten(&mut own);
    let body = if bare { own } else { json!({ "error": own }) };
    let mut response = json(error.status, &body);
    set(&mut response, "x-ms-error-code", &error.code);
    if matches!(
        error.status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::INSUFFICIENT_STORAGE
    ) {
        set(&mut response, "retry-after", RETRY_AFTER_SECONDS);
    }
    response
}

/// Shortens long strings, so that responses do not repeat large input.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > MESSAGE_BYTES => {
            text.truncate(text.floor_char_boundary(MESSAGE_BYTES));
            text.push('…');
        }
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// 429 for a client at its limit.
pub(super) fn too_many(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
}

/// 503 at a limit for all clients together.
pub(super) fn busy(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ServerBusy", message)
}

/// Whether errors of a path have no envelope in an api-version.
pub(super) fn is_bare(path: &Path, api_version: &str) -> bool {
    path.in_namespace("Microsoft.VirtualMachineImages") && BARE.contains(&api_version)
}

/// 405, with the allowed methods.
pub(super) fn method_not_allowed(request: &Request, allowed: &str) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "HttpMethodNotAllowed",
        format!(
            "The method '{}' is not allowed at '{}'. Use {allowed}.",
            Cut(request.method().as_str()),
            Cut(request.uri().path())
        ),
    )
}

/// Conceals the service's folders in a response. This checks only bodies that are completely in memory,
/// as all JSON responses are.
pub(super) async fn concealed(response: Response, conceal: &Conceal) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let size = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
    let Some(size) = size.filter(|_| is_json) else { return response };
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, size).await else {
        return error(&ApiError::internal("an answer in memory cannot be read"), false);
    };
    match conceal.answer(&bytes) {
        None => Response::from_parts(parts, Body::from(bytes)),
        Some(other) => {
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(other))
        }
    }
}

/// Sets a header. An invalid value is omitted and logged.
pub(super) fn set(response: &mut Response, name: &str, value: &str) {
    match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        (Ok(name), Ok(value)) => {
            response.headers_mut().insert(name, value);
        }
        _ => tracing::warn!(name, value = %Cut(value), "a header cannot be sent"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> Value {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn error_has_envelope_and_header_without_internal_details() {
        let given = ApiError::internal("password of the database").target("t");
        let response = error(&given, false);
        assert_eq!(response.headers()["x-ms-error-code"], "InternalServerError");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = text(response).await;
        assert_eq!(body["error"]["code"], "InternalServerError");
        assert_eq!(body["error"]["target"], "t");
        assert!(!body.to_string().contains("password"));
    }

    #[tokio::test]
    async fn old_api_versions_of_image_builder_have_bare_errors() {
        let builder = Path::parse("/subscriptions/s/providers/microsoft.virtualmachineimages/x");
        let compute = Path::parse("/subscriptions/s/providers/Microsoft.Compute/images");
        for (path, version, bare) in [
            (&builder, "2020-02-14", true),
            (&builder, "2019-05-01-preview", true),
            (&builder, "2021-10-01", false),
            (&builder, "", false),
            // Unknown versions are refused before the image builder sees the request.
            (&builder, "1999-01-01", false),
            (&compute, "2019-05-01", false),
        ] {
            assert_eq!(is_bare(path, version), bare, "{version}");
        }
        let body = text(error(&ApiError::conflict("Conflict", "m"), true)).await;
        assert_eq!(body, json!({ "code": "Conflict", "message": "m" }));
    }
}
