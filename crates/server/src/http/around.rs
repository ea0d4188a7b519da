//! What happens around every request, whatever it asks: its ids, its deadline, the net under a panic,
//! one line of log, and what is measured.

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

/// No answer takes longer to begin. Long work is polled.
const DEADLINE: Duration = Duration::from_secs(60);

/// A client's own ids are given back up to this length.
const ECHOED_BYTES: usize = 256;

/// What is known of a request beside what it asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    /// Its id.
    pub(super) id: String,
    /// Who is at the other end of its connection.
    pub(super) peer: Option<SocketAddr>,
    caller: Arc<OnceLock<String>>,
}

impl Trace {
    /// Notes who sent it, once that is proven.
    pub(super) fn name(&self, client_id: &str) {
        // The first one stays.
        let _ = self.caller.set(client_id.to_owned());
    }
}

/// Answers, whatever happens within.
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
        // Of a blob it is one of the things that are asked for.
        if !matches!(Route::of(&path), Route::Storage(_)) {
            response.headers_mut().remove(http::header::CONTENT_TYPE);
        }
    }
    echo(&mut response, &headers, &trace.id);
    log_request(&method, &path, &response, &trace, began.elapsed());
    response
}

async fn within_deadline(request: Request, next: Next) -> Response {
    // Dropping the future at the deadline loses nothing: calls to ARM go on in their own task.
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

/// The ids that clients and people find a request by.
fn echo(response: &mut Response, request: &HeaderMap, id: &str) {
    let given = |name: &str| request.get(name).and_then(|value| value.to_str().ok());
    reply::set(response, "x-ms-request-id", id);
    let correlation = given("x-ms-correlation-request-id")
        .filter(|given| Uuid::try_parse(given).is_ok())
        .unwrap_or(id);
    reply::set(response, "x-ms-correlation-request-id", correlation);
    if given("x-ms-return-client-request-id").is_some_and(|v| v.eq_ignore_ascii_case("true"))
        && let Some(client) = given("x-ms-client-request-id").filter(|id| id.len() <= ECHOED_BYTES)
    {
        reply::set(response, "x-ms-client-request-id", client);
    }
}

/// Who asked what, from where, and what came of it.
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
