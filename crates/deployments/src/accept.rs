//! Requests that create or validate a deployment.

use arm::{ApiError, Call, Reply};
use http::StatusCode;

use crate::{
    begin::{New, check_location, replaceable},
    check::{self, For},
    load,
    manager::Requests,
    place::{Place, check_name},
    request::Request,
    run, view,
};

/// Seconds between two polls.
const RETRY_AFTER: &str = "1";

/// `PUT …/deployments/{name}`
pub(crate) async fn put(
    requests: &Requests,
    call: &Call,
    place: &Place,
    name: &str,
) -> Result<Reply, ApiError> {
    check_name(name)?;
    let request = Request::read(&call.body)?;
    let existing = replaceable(requests, place, name).await?;
    check_location(requests, place, &request, existing.as_ref())?;
    let draft = load::draft(requests, place, name, request).await?;
    check::all(requests, name, &draft, For::Deployment).await?;
    let draft = &draft;
    let new = New { place, name, draft, parent: None, fence: None, is_rollback: false };
    let record = new.begin(requests, existing, &call.body, draft.plan.clone(), run::start).await?;
    let url = call.url(&format!(
        "{}/operationStatuses/{}?api-version={}",
        record.row.id, record.hidden.operation, call.api_version
    ));
    Ok(Reply::json(StatusCode::CREATED, record.view())
        .header("azure-asyncoperation", url)
        .header("retry-after", RETRY_AFTER))
}

/// `POST …/deployments/{name}/validate`
pub(crate) async fn validate(
    requests: &Requests,
    call: &Call,
    place: &Place,
    name: &str,
) -> Result<Reply, ApiError> {
    check_name(name)?;
    let request = Request::read(&call.body)?;
    check_location(requests, place, &request, None)?;
    let draft = load::draft(requests, place, name, request).await?;
    check::all(requests, name, &draft, For::Preview).await?;
    Ok(Reply::ok(view::validated(place, name, &draft, &requests.client.correlation_id)))
}
