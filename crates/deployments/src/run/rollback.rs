//! `onErrorDeployment`: after a failure, an earlier deployment of the scope is deployed again with the parameters that it
//! had.

use std::time::Duration;

use arm::ApiError;
use db::{ResourceKey, Write};
use serde_json::{Value, json};

use super::{Run, Stop};
use crate::{
    begin::{self, New},
    load,
    place::Place,
    record::{Record, Step},
    request::{OnError, Request},
};

/// The operation that shows it.
const WHAT: &str = "DeploymentCleanup";

/// The first pause between two looks at the other deployment, and the last.
const FIRST: Duration = Duration::from_millis(10);
const LAST: Duration = Duration::from_secs(1);

/// Deploys what the deployment names for its failure, if it names something, waits for the end, and shows the result.
pub(super) async fn deploy(run: &mut Run) -> Result<(), Stop> {
    let shown = run.record.row.body["properties"]["onErrorDeployment"].clone();
    let Some(wanted) = wanted(&shown) else { return Ok(()) };
    let state = match attempt(run, &wanted).await {
        Ok((name, state)) => {
            run.record.row.body["properties"]["onErrorDeployment"]["deploymentName"] = json!(name);
            state
        }
        Err(Failure::Stop(stop)) => return Err(stop),
        Err(Failure::Refused(error)) => {
            let properties = &mut run.record.row.body["properties"];
            properties["onErrorDeployment"]["error"] = error.body();
            "Failed".to_owned()
        }
    };
    run.record.row.body["properties"]["onErrorDeployment"]["provisioningState"] = json!(state);
    Ok(())
}

fn wanted(shown: &Value) -> Option<OnError> {
    match (shown["type"].as_str()?, shown["deploymentName"].as_str()) {
        ("SpecificDeployment", Some(name)) => Some(OnError::Specific(name.to_owned())),
        _ => Some(OnError::LastSuccessful),
    }
}

enum Failure {
    Stop(Stop),
    Refused(ApiError),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<db::Error> for Failure {
    fn from(error: db::Error) -> Self {
        Self::Stop(error.into())
    }
}

async fn attempt(run: &mut Run, wanted: &OnError) -> Result<(String, String), Failure> {
    let begun = run.others.iter().find(|step| step.row.body["provisioningOperation"] == WHAT);
    let (step, is_resumed) = match begun.cloned() {
        Some(step) => (step, true),
        None => {
            let target = target(run, wanted).await?;
            let number = run.number();
            let about = json!({
                "id": target.row.id,
                "resourceType": crate::place::TYPE,
                "resourceName": target.row.name,
            });
            let step = Step::begin(&run.record.key(), number, WHAT, None, Some(about));
            run.commit(vec![Write::DeploymentOperation(step.row.clone())])
                .await
                .map_err(Failure::Stop)?;
            (step, false)
        }
    };
    let id = step.row.body["targetResource"]["id"].as_str().unwrap_or_default().to_owned();
    let key = ResourceKey::of(&id);
    let record = Record::find(run.requests.app().store(), &key).await?;
    let record = record.ok_or_else(|| crate::place::not_found(&id))?;
    if !(is_resumed && record.row.started >= step.hidden()?.begun) {
        begin(run, record).await?;
    }
    let ended = wait(run, &key).await?;
    Ok((ended.row.name.clone(), ended.state().to_owned()))
}

/// The deployment to deploy again: one that succeeded.
async fn target(run: &Run, wanted: &OnError) -> Result<Record, Failure> {
    for row in run.requests.app().store().deployments(&run.record.row.scope).await? {
        let is_named = match wanted {
            OnError::LastSuccessful => true,
            OnError::Specific(name) => arm::is(name, &row.name),
        };
        let record = Record::of(row)?;
        if is_named && record.state() == "Succeeded" && record.hidden.parent.is_none() {
            return Ok(record);
        }
    }
    let message = match wanted {
        OnError::LastSuccessful => "No earlier deployment succeeded.".to_owned(),
        OnError::Specific(name) => {
            format!("There is no deployment '{name}' that succeeded.")
        }
    };
    Err(ApiError::bad_request("OnErrorDeploymentNotFound", message).into())
}

async fn begin(run: &Run, record: Record) -> Result<(), Failure> {
    let requests = &run.requests;
    requests.may_deploy(&record.row.id).await?;
    let store = requests.app().store();
    let text = store.deployment_request(&record.key()).await?.unwrap_or_default();
    let request = Request::read(&text)?;
    let place: Place = load::place_of(requests, &record.row.id).await?;
    let name = record.row.name.clone();
    let links = record.hidden.links.clone();
    let draft = load::draft_with(requests, &place, &name, request, links)?;
    begin::check_location(requests, &place, &draft.request, Some(&record))?;
    let (draft, fence) = (&draft, Some((run.record.key(), run.record.row.revision)));
    let new = New { place: &place, name: &name, draft, parent: None, fence, is_rollback: true };
    new.begin(requests, Some(record), &text, draft.plan.clone(), super::start).await?;
    Ok(())
}

async fn wait(run: &Run, key: &ResourceKey) -> Result<Record, Failure> {
    let mut pause = FIRST;
    loop {
        if run.requests.app().shutdown().is_cancelled() {
            return Err(Failure::Stop(Stop::Shutdown));
        }
        let record = Record::find(run.requests.app().store(), key).await?;
        match record {
            Some(record) if !record.is_active() => return Ok(record),
            Some(_) => {}
            None => return Err(crate::place::not_found(key.as_str()).into()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST);
    }
}
