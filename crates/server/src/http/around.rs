//! The frame of every request: its ids, its deadline, catching of panics, a log line and metrics.

use std::{
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use arm::ApiError;
use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::Response,
};
use futures_util::FutureExt;
use http::{HeaderMap, Method, StatusCode};
use uuid::Uuid;

use super::{reply, route::Route};
use crate::limits::{Budgets, Cut};

/// The time limit for the start of a response. Clients poll long work.
const DEADLINE: Duration = Duration::from_secs(60);

/// The maximum length of a client's own ids in a response.
const ECHOED_BYTES: usize = 256;

/// The data about a request for logs.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    /// The request's id.
    pub(super) id: String,
    /// The client's address.
    pub(super) peer: Option<SocketAddr>,
    caller: Arc<OnceLock<String>>,
}

impl Trace {
    /// Records the authenticated sender.
    pub(super) fn name(&self, client_id: &str) {
        // The first name stays.
        let _ = self.caller.set(client_id.to_owned());
    }
}

/// Handles a request, even if the handler panics.
pub(super) async fn around(
    State(budgets): State<Budgets>,
    request: Request,
    next: Next,
) -> Response {
    let answered = AssertUnwindSafe(answer(&budgets, request, next)).catch_unwind().await;
    answered.unwrap_or_else(|_panic| {
        reply::error(&ApiError::internal("what is done around a request panicked"), false)
    })
}

async fn answer(budgets: &Budgets, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let trace = Trace { id: Uuid::now_v7().to_string(), peer, caller: Arc::default() };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let headers = request.headers().clone();
    request.extensions_mut().insert(trace.clone());
    if let Some(peer) = peer {
        budgets.connections.asked(peer);
    }
    let mut response = match budgets.requests.try_acquire() {
        Ok(_until_answered) => within_deadline(request, next).await,
        Err(_) => reply::error(
            &reply::busy(
                "The server answers as many requests as it may at the same time. Try again in a few seconds.",
            ),
            false,
        ),
    };
    if method == Method::HEAD {
        *response.body_mut() = axum::body::Body::empty();
        // The type of a blob is one of its requested properties.
        if !matches!(Route::of(&path), Route::Storage(_)) {
            response.headers_mut().remove(http::header::CONTENT_TYPE);
        }
    }
    echo(&mut response, &headers, &trace.id);
    log_request(&method, &path, &response, &trace, began.elapsed());
    response
}

async fn within_deadline(request: Request, next: Next) -> Response {
    // Dropping the future at the deadline loses nothing: ARM calls continue in a separate task.
    let answered =
        tokio::time::timeout(DEADLINE, AssertUnwindSafe(next.run(request)).catch_unwind()).await;
    match answered {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => reply::error(&ApiError::internal("the handler panicked"), false),
        Err(_elapsed) => reply::error(&too_late(), false),
    }
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

/// The id that the client gave to a group of its requests.
pub(super) fn correlation(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get("x-ms-correlation-request-id")?.to_str().ok()?;
    Uuid::try_parse(given).is_ok().then_some(given)
}

/// The id that the client gave to this request, if it is a GUID.
pub(super) fn client_request(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get("x-ms-client-request-id")?.to_str().ok()?;
    Uuid::try_parse(given).is_ok().then_some(given)
}

/// Adds the ids that identify a request in logs.
fn echo(response: &mut Response, request: &HeaderMap, id: &str) {
    let given = |name: &str| request.get(name).and_then(|value| value.to_str().ok());
    reply::set(response, "x-ms-request-id", id);
    let correlation = correlation(request).unwrap_or(id);
    reply::set(response, "x-ms-correlation-request-id", correlation);
    if given("x-ms-return-client-request-id").is_some_and(|v| v.eq_ignore_ascii_case("true"))
        && let Some(client) = given("x-ms-client-request-id").filter(|id| id.len() <= ECHOED_BYTES)
    {
        reply::set(response, "x-ms-client-request-id", client);
    }
}

/// Logs the caller, its address, the request and the result.
fn log_request(method: &Method, path: &str, response: &Response, trace: &Trace, took: Duration) {
    let status = response.status().as_u16();
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let caller = trace.caller.get().map_or("-", String::as_str);
    let peer = trace.peer.map(|peer| peer.to_string()).unwrap_or_default();
    let code = response.headers().get("x-ms-error-code").and_then(|code| code.to_str().ok());
    let (verb, path_cut) = (Cut(method.as_str()), Cut(path));
    tracing::info!(
        request_id = trace.id, method = %verb, path = %path_cut, status, code, caller, peer, duration_ms,
        "request"
    );
    let labels = [
        ("method", label(method).to_owned()),
        ("route", Route::of(path).class().to_owned()),
        ("status", status.to_string()),
    ];
    metrics::counter!("goldsmith_http_requests_total", &labels).increment(1);
    metrics::histogram!("goldsmith_http_request_duration_seconds", &labels[..2])
        .record(took.as_secs_f64());
}

/// A label for the method, of a few values.
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
