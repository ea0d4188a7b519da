//! The deployments of a scope: the list, its limit, and the removal of records.

use arm::{ApiError, Call, Filter, Readable, Reply};
use db::{Deployment, ResourceKey, Write};
use http::StatusCode;
use serde_json::{Value, json};
use service::App;

use crate::{
    place::{Place, TYPE, not_found},
    record::Record,
};

/// The number of deployments that a scope may have.
const LIMIT: i64 = 800;
/// From here on the oldest are removed…
const TRIM_FROM: i64 = 775;
/// …until this number is left.
const TRIM_TO: i64 = 750;
/// The size of a page.
const PAGE: usize = 100;

/// `GET …/deployments/`, newest first: those that the caller may read.
pub(crate) async fn list(app: &App, call: &Call, place: &Place) -> Result<Reply, ApiError> {
    let text = call.query.get("$filter").map(String::as_str).unwrap_or_default();
    let filter = Filter::parse(text, &["provisioningState", "name"])?;
    let mut found = Vec::new();
    let mut readable = Readable::by(call, &place.id);
    for row in app.store().deployments(&place.key()).await? {
        if !readable.has_key(&TYPE.to_lowercase(), &row.key()) {
            continue;
        }
        let record = Record::of(row)?;
        if filter.allows("provisioningState", record.state())
            && filter.allows("name", &record.row.name)
        {
            found.push(record);
        }
    }
    let views = found.iter().map(|record| (record.row.name.clone(), record.view())).collect();
    page(call, views)
}

/// A page of a list that is complete in memory. `$skiptoken` is the number of those before it.
pub(crate) fn page(call: &Call, all: Vec<(String, Value)>) -> Result<Reply, ApiError> {
    let number = |name: &str, default: usize| match call.query.get(name).map(String::as_str) {
        None | Some("") => Ok(default),
        Some(text) => text.parse::<usize>().map_err(|_| {
            ApiError::bad_request(
                "InvalidQueryParameter",
                format!("The value '{text}' of {name} is not a number."),
            )
            .target(name)
        }),
    };
    let skipped = number("$skiptoken", 0)?;
    let size = number("$top", PAGE)?.clamp(1, PAGE);
    let total = all.len();
    let value: Vec<Value> =
        all.into_iter().skip(skipped).take(size).map(|(_, view)| view).collect();
    let next = skipped + value.len();
    let mut body = json!({ "value": value });
    if next < total && !call.query.contains_key("$top") {
        body["nextLink"] = json!(call.url(&format!(
            "{}?api-version={}&%24skiptoken={next}",
            call.path.text.replace(' ', "%20"),
            call.api_version
        )));
    }
    Ok(Reply::ok(body))
}

/// Removes the record of a deployment. What it made stays.
///
/// # Errors
/// `DeploymentActive`, `DeploymentNotFound`.
pub(crate) async fn delete(app: &App, record: Option<Record>) -> Result<Reply, ApiError> {
    let Some(record) = record else { return Ok(Reply::empty(StatusCode::NO_CONTENT)) };
    if record.is_active() {
        return Err(active(&record.row, "delete"));
    }
    let write = Write::RemoveDeployment(record.key(), record.row.revision);
    app.store().commit(vec![write]).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// 409 for a deployment that still runs.
pub(crate) fn active(row: &Deployment, verb: &str) -> ApiError {
    let (name, since) = (&row.name, row.started);
    ApiError::conflict(
        "DeploymentActive",
        format!(
            "Unable to {verb} deployment '{name}': previous deployment from '{since}' is still active. Please see https://aka.ms/arm-deploy for usage details."
        ),
    )
}

/// The deployment of a request.
///
/// # Errors
/// `DeploymentNotFound`
pub(crate) async fn existing(app: &App, key: &ResourceKey, name: &str) -> Result<Record, ApiError> {
    Record::find(app.store(), key).await?.ok_or_else(|| not_found(name))
}

/// Makes room for one more deployment in a scope, by the removal of the oldest that have ended.
///
/// # Errors
/// `DeploymentQuotaExceeded`
pub(crate) async fn make_room(app: &App, scope: &ResourceKey, name: &str) -> Result<(), ApiError> {
    let mut count = app.store().count_deployments(scope).await?;
    if count < TRIM_FROM {
        return Ok(());
    }
    let mut ended: Vec<Deployment> = app.store().deployments(scope).await?;
    ended.retain(|row| row.ended.is_some());
    let surplus = usize::try_from(count - TRIM_TO).unwrap_or_default();
    // The oldest are last.
    for row in ended.iter().rev().take(surplus) {
        let write = Write::RemoveDeployment(row.key(), row.revision);
        match app.store().commit(vec![write]).await {
            // Another request was faster.
            Ok(()) | Err(db::Error::Stale { .. }) => count -= 1,
            Err(error) => return Err(error.into()),
        }
    }
    if count < LIMIT {
        return Ok(());
    }
    Err(ApiError::conflict(
        "DeploymentQuotaExceeded",
        format!(
            "Creating the deployment '{name}' would exceed the quota of '{LIMIT}'. The current deployment count is '{count}'. Please delete some deployments before creating a new one, or see https://aka.ms/800LimitFix for information on managing deployment limits."
        ),
    ))
}
