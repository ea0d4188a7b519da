//! The HTTP layer between the socket and [`routes::handle`](crate::routes::handle): routes, tokens, limits, errors.
//!
//! ```text
//! around (request id, panic, deadline, log, metrics) → host → route → metadata | authority | graph | storage | health
//!                                                            → token → api-version → body → arm
//! ```
//!
//! Every ARM call runs in a separate task, so that it continues when the client hangs up.

mod around;
mod authority;
mod body;
mod following;
mod graph;
mod health;
mod host;
mod manager;
mod metadata;
mod openapi;
mod permit;
mod reply;
mod route;
mod session;
mod storage;
mod streamed;
#[cfg(test)]
mod tests;

use std::{ops::Deref, sync::Arc};

use arm::ApiError;
use axum::{Router, extract::Request, response::Response};
use engine::may_wait;
use metrics_exporter_prometheus::PrometheusHandle;
use service::{App, auth::Auth, conceal::Conceal, names};

use crate::limits::Budgets;
pub(crate) use health::install_metrics;
use route::Route;

/// The state that every request needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Site(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) app: App,
    pub(crate) auth: Auth,
    /// The host names of the server.
    names: Vec<String>,
    /// `host:port`, for requests without a host.
    listen: String,
    metrics: PrometheusHandle,
    pub(crate) budgets: Budgets,
    conceal: Conceal,
}

impl Deref for Site {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Site {
    pub(crate) fn new(
        app: App,
        auth: Auth,
        names: Vec<String>,
        listen: String,
        metrics: PrometheusHandle,
        budgets: Budgets,
    ) -> Self {
        let names = names::all(names);
        let conceal = Conceal::of(&app.settings().layout);
        Self(Arc::new(Inner { app, auth, names, listen, metrics, budgets, conceal }))
    }

    fn base_url(&self, request: &Request) -> String {
        host::base_url(request, &self.listen)
    }
}

/// The router of the whole service.
pub(crate) fn router(site: Site) -> Router {
    let budgets = site.budgets.clone();
    let entry = move |request: Request| answer(site.clone(), request);
    Router::new()
        .fallback(entry)
        .layer(axum::middleware::from_fn_with_state(budgets, around::around))
}

/// Handles a request. [`Route::of`] parses the path, because ARM's paths ignore case and have several forms.
async fn answer(site: Site, request: Request) -> Response {
    let route = Route::of(request.uri().path());
    // Monitoring may use any address of the server.
    if !matches!(route, Route::Alive | Route::Ready)
        && let Err(error) = host::check(&request, &site.names)
    {
        return reply::error(&error, false);
    }
    if route.is_read_only()
        && let Err(error) = only_get(&request)
    {
        return reply::error(&error, false);
    }
    let answered = match route {
        Route::Metadata => Ok(metadata::endpoints(&site, &request)),
        Route::Aliases => may_wait(|| metadata::aliases(&site)),
        Route::OpenId { adfs, tenant } => {
            Ok(authority::openid_configuration(&site, &request, adfs, tenant.as_deref()))
        }
        Route::WebFinger => authority::web_finger(&site, &request),
        Route::Keys => Ok(authority::keys(&site)),
        Route::Token { tenant } => Ok(authority::token(&site, request, tenant.as_deref()).await),
        Route::Graph(segments) => graph::answer(&site, request, &segments).await,
        Route::Storage(segments) => Ok(storage::answer(&site, request, &segments).await),
        Route::Alive => Ok(health::alive()),
        Route::Ready => health::ready(&site).await,
        Route::Metrics => health::metrics(&site, request, &site.metrics).await,
        Route::OpenApi => Ok(openapi::answer(&site, &request)),
        Route::Arm => Ok(manager::answer(&site, request).await),
    };
    let response = answered.unwrap_or_else(|error| reply::error(&error, false));
    reply::concealed(response, &site.conceal).await
}

/// Rejects methods other than GET and HEAD.
fn only_get(request: &Request) -> Result<(), ApiError> {
    match *request.method() {
        http::Method::GET | http::Method::HEAD => Ok(()),
        _ => Err(reply::method_not_allowed(request, "GET")),
    }
}
