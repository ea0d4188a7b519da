//! What happens around every request, whatever it asks: its ids, its deadline, the net under a panic,
//! one line of log, and what is measured.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{extract::Request, middleware::Next, response::Response};
use futures_util::FutureExt;
use http::{HeaderMap, Method, StatusCode};
use uuid::Uuid;

use super::{reply, route::Route};
use crate::arm::ApiError;

/// No answer takes longer to begin. Long work is polled.
const DEADLINE: Duration = Duration::from_secs(60);

/// The id of a request, for whoever answers it.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// Answers, whatever happens within.
pub(super) async fn around(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = Uuid::now_v7().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let headers = request.headers().clone();
    request.extensions_mut().insert(RequestId(id.clone()));
    // Dropping the future at the deadline loses nothing: calls to ARM go on in their own task.
    let answered =
        tokio::time::timeout(DEADLINE, AssertUnwindSafe(next.run(request)).catch_unwind()).await;
    let mut response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => reply::error(&ApiError::internal("the handler panicked"), false),
        Err(_elapsed) => reply::error(&too_late(), false),
    };
    if method == Method::HEAD {
        *response.body_mut() = axum::body::Body::empty();
        // Of a blob it is one of the things that are asked for.
        if !matches!(Route::of(&path), Route::Storage(_)) {
            response.headers_mut().remove(http::header::CONTENT_TYPE);
        }
    }
    echo(&mut response, &headers, &id);
    tell(&method, &path, &response, &id, began.elapsed());
    response
}

fn too_late() -> ApiError {
    ApiError::new(
        StatusCode::GATEWAY_TIMEOUT,
        "GatewayTimeout",
        format!(
            "The request was not answered within {} s and may still take effect. Read the resource before you try again.",
            DEADLINE.as_secs()
        ),
    )
}

/// The ids that clients and people find a request by.
fn echo(response: &mut Response, request: &HeaderMap, id: &str) {
    let given = |name: &str| request.get(name).and_then(|value| value.to_str().ok());
    reply::set(response, "x-ms-request-id", id);
    let correlation = given("x-ms-correlation-request-id")
        .filter(|given| Uuid::try_parse(given).is_ok())
        .unwrap_or(id);
    reply::set(response, "x-ms-correlation-request-id", correlation);
    if given("x-ms-return-client-request-id").is_some_and(|v| v.eq_ignore_ascii_case("true"))
        && let Some(client) = given("x-ms-client-request-id")
    {
        reply::set(response, "x-ms-client-request-id", client);
    }
}

fn tell(method: &Method, path: &str, response: &Response, id: &str, took: Duration) {
    let status = response.status().as_u16();
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(request_id = id, %method, path, status, duration_ms, "request");
    let labels = [
        ("method", label(method).to_owned()),
        ("route", Route::of(path).class().to_owned()),
        ("status", status.to_string()),
    ];
    metrics::counter!("goldsmith_http_requests_total", &labels).increment(1);
    metrics::histogram!("goldsmith_http_request_duration_seconds", &labels[..2])
        .record(took.as_secs_f64());
}

/// Methods can be any word; labels are few.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    }
}
