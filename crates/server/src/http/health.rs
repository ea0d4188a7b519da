//! Monitoring: liveness, readiness and metrics.

use std::collections::BTreeMap;

use arm::ApiError;
use authorization::{Need, Rule, Scope, Wanted};
use axum::{body::Body, extract::Request, response::Response};
use db::{RunState, Trouble};
use http::{HeaderValue, StatusCode, header};
use images::error::{Coded, Result as EngineResult};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use service::auth::Audience;

use super::{Site, manager, permit::Permit, reply};
use crate::{limits::MetricsFor, log};

/// At the root, because the metrics count what all subscriptions do.
const READ_METRICS: &str = "Goldsmith.Service/metrics/read";

/// Installs the recorder for the metrics of this process. Call it once.
pub(crate) fn install_metrics() -> EngineResult<PrometheusHandle> {
    const SECONDS: &[f64] =
        &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .code(api::ErrorCode::InternalError, || "cannot record metrics".to_owned())
}

/// Liveness.
pub(super) fn alive() -> Response {
    reply::json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// Readiness: the database accepts a write. A shortage of disk space is reported, but other work continues.
pub(super) async fn ready(site: &Site) -> Result<Response, ApiError> {
    let app = &site.app;
    if let Err(trouble) = app.readiness().check(app.store()).await {
        let text = format!("Not ready: {}. The server's log has details.", trouble.text());
        let mut error = ApiError::unavailable(text);
        if trouble == Trouble::DiskFull {
            error.code = "DiskFull".to_owned();
        }
        return Err(error);
    }
    let mut body = json!({ "status": "ready" });
    if let Some(shortage) = app.shortage().await {
        body["waiting"] = json!(format!("Runs and fetches wait: {}.", shortage.text()));
    }
    Ok(reply::json(StatusCode::OK, &body))
}

/// Metrics in the text format of Prometheus.
pub(super) async fn metrics(
    site: &Site,
    request: Request,
    handle: &PrometheusHandle,
) -> Result<Response, ApiError> {
    let client = manager::Asker::of(&request);
    let base = site.base_url(&request);
    drop(request);
    if let Err(response) = may_read_metrics(site, &client, &base).await {
        return Ok(*response);
    }
    count_runs(site).await?;
    metrics::counter!("goldsmith_log_lost_total").absolute(log::lines_lost());
    #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
    metrics::gauge!("goldsmith_connections").set(site.budgets.connections.count() as f64);
    let (reads, commits) = site.app.store().query_counts();
    metrics::counter!("goldsmith_database_reads_total").absolute(reads);
    metrics::counter!("goldsmith_database_commits_total").absolute(commits);
    handle.run_upkeep();
    let mut response = Response::new(Body::from(handle.render()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    Ok(response)
}

/// Checks `limits.metrics` of goldsmith.toml.
async fn may_read_metrics(
    site: &Site,
    client: &manager::Asker,
    base: &str,
) -> Result<(), Box<Response>> {
    let is_local = client.peer().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    match site.budgets.settings.metrics {
        MetricsFor::Everyone => return Ok(()),
        MetricsFor::Local if is_local => return Ok(()),
        MetricsFor::Local | MetricsFor::Token => {}
    }
    let caller = manager::caller(site, client, base, Audience::Arm).await?;
    let need = Need::new(Wanted::action(READ_METRICS), Scope::root());
    let asked = Permit::ask(&site.app, &caller, Rule::All(vec![need.clone()])).await;
    asked.map(drop).map_err(|refused| {
        Box::new(reply::error(&manager::forbidden(refused, &caller, &need), false))
    })
}

/// Counts in the database, so that the metric is right after a restart.
async fn count_runs(site: &Site) -> Result<(), ApiError> {
    let mut states = BTreeMap::from([("queued", 0_i64), ("running", 0), ("canceling", 0)]);
    for (state, count) in site.app.store().active_states().await? {
        let name = match state {
            RunState::Queued => "queued",
            RunState::Running => "running",
            RunState::Canceling => "canceling",
            RunState::Succeeded
            | RunState::PartiallySucceeded
            | RunState::Failed
            | RunState::Canceled => continue,
        };
        states.insert(name, count);
    }
    for (state, count) in states {
        #[expect(clippy::cast_precision_loss, reason = "a count of runs")]
        metrics::gauge!("goldsmith_runs", "state" => state).set(count as f64);
    }
    Ok(())
}
