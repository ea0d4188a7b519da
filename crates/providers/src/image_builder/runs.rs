//! Runs and their outputs, which clients can only read.
//!
//! `imageTemplates/runOutputs`: what a run made, one per distributor. The worker writes them as
//! resources.
//!
//! `imageTemplates/runs`: an extension, not in Azure. The runs of a template, newest first, so that
//! clients can look at more than the last one. Kept in the store's runs, not as resources.
//!
//! Clients can also read a run by its id alone. This works until its logs are removed, even after the
//! template is deleted.

use arm::{Actions, ApiError, Call, Reply, ResourceType};
use async_trait::async_trait;
use authorization::{Need, Scope, Wanted};
use db::{Resource, ResourceKey, Run, RunState};
use serde_json::{Value, json};
use service::{App, blobs};

use super::{
    API_VERSIONS, OUTPUT_ACTIONS, OUTPUTS, RUN_ACTIONS, RUNS,
    record::exact_version,
    template_key, template_not_found,
    view::{self, shown, waits},
};
use crate::compute::artifacts::BLOB;

/// How many runs a list has at most.
const MOST: u32 = 1000;

/// One of the two types, by its actions.
#[derive(Debug)]
pub(crate) struct OfRuns(&'static Actions);

pub(crate) const RUN_OUTPUTS: OfRuns = OfRuns(&OUTPUT_ACTIONS);
pub(crate) const TEMPLATE_RUNS: OfRuns = OfRuns(&RUN_ACTIONS);

#[async_trait]
impl ResourceType<App> for OfRuns {
    fn actions(&self) -> &'static Actions {
        self.0
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn api_versions(&self) -> &'static [&'static str] {
        API_VERSIONS
    }

    fn read_only(&self) -> Option<&'static str> {
        Some("runs of the image template write it")
    }

    async fn get(
        &self,
        app: &App,
        call: &Call,
        key: &ResourceKey,
    ) -> Result<Option<Reply>, ApiError> {
        if self.name() == OUTPUTS {
            return Ok(None);
        }
        let template = template(app, call, &template_key(key)).await?;
        let id = key.as_str().rsplit('/').next().unwrap_or_default();
        let run = app.store().run(id).await?;
        let own =
            run.filter(|run| run.template == template.key() && run.queued >= template.created);
        match own {
            Some(run) => Ok(Some(Reply::ok(shown_run(app, &template, &run)))),
            None => Err(ApiError::not_found(
                RUNS,
                &format!("{}/{id}", template.name),
                call.path.scope.group().unwrap_or_default(),
            )),
        }
    }

    async fn list(
        &self,
        app: &App,
        call: &Call,
        parent: &ResourceKey,
    ) -> Result<Option<Reply>, ApiError> {
        if self.name() == OUTPUTS {
            return Ok(None);
        }
        let template = template(app, call, parent).await?;
        let most = call.query.get("$top").and_then(|top| top.parse().ok()).unwrap_or(MOST);
        let runs = app.store().runs_of(parent, most.clamp(1, MOST)).await?;
        let own = runs.iter().filter(|run| run.queued >= template.created);
        let value: Vec<Value> = own.map(|run| shown_run(app, &template, run)).collect();
        Ok(Some(Reply::ok(json!({ "value": value }))))
    }

    /// The address of a blob has the host by which the caller knows the service.
    fn view(&self, _app: &App, call: &Call, resource: &Resource) -> Value {
        let mut body = view::envelope(self.name(), resource);
        if let Some(path) = resource.hidden[BLOB].as_str() {
            body["properties"]["artifactUri"] = Value::from(call.url(path));
        }
        body
    }
}

/// `GET /subscriptions/{s}/providers/Microsoft.VirtualMachineImages/runs/{id}`
pub async fn by_id(app: &App, call: &Call, id: &str) -> Result<Reply, ApiError> {
    let subscription = call.path.scope.subscription().unwrap_or_default();
    let run = app.store().run(&id.to_lowercase()).await?;
    let may_read = |run: &Run| call.rights().check(&need(run)).is_ok();
    let run = run.filter(|run| run.subscription.eq_ignore_ascii_case(subscription));
    let run = run.filter(may_read).ok_or_else(|| not_found(id))?;
    let logs = blobs::logs_of_run(app, &run.id).await;
    let logs = logs.map_err(|error| ApiError::failed(&error))?;
    let mut properties = properties(app, &run);
    properties["imageTemplateId"] = json!(run.template.as_str());
    properties["logs"] = logs.iter().map(|log| json!(log.name)).collect();
    let id = format!(
        "/subscriptions/{subscription}/providers/Microsoft.VirtualMachineImages/runs/{}",
        run.id
    );
    Ok(Reply::ok(json!({
        "id": id,
        "name": run.id,
        "type": "Microsoft.VirtualMachineImages/runs",
        "properties": properties,
    })))
}

/// What the reader of a run needs, which is at its template also after that is gone.
pub fn need(run: &Run) -> Need {
    let scope = format!("{}/runs/{}", run.template, run.id);
    Need::new(Wanted::action(RUN_ACTIONS.read), Scope::parse(&scope))
}

/// 404 for a run by its id.
pub fn not_found(id: &str) -> ApiError {
    ApiError::absent(
        "ResourceNotFound",
        format!(
            "The run '{id}' was not found. Runs are kept for a while after their image template is deleted (serve --log-retention)."
        ),
    )
}

async fn template(app: &App, call: &Call, key: &ResourceKey) -> Result<Resource, ApiError> {
    app.store().resource(key).await?.ok_or_else(|| template_not_found(call))
}

fn shown_run(app: &App, template: &Resource, run: &Run) -> Value {
    json!({
        "id": format!("{}/runs/{}", shown(&template.id), run.id),
        "name": run.id,
        "type": RUNS,
        "properties": properties(app, run),
    })
}

fn properties(app: &App, run: &Run) -> Value {
    let waits = match run.state {
        RunState::Queued => waits(app),
        _ => None,
    };
    let mut properties = json!({
        "runState": run.state,
        "message": waits.as_ref().unwrap_or(&run.message),
        "startTime": run.queued.to_string(),
        "operationId": run.operation,
        "cause": run.cause,
    });
    if let Some(exact) = exact_version(&run.input) {
        properties["exactVersion"] = json!(exact);
    }
    if !run.sub_state.is_empty() {
        properties["runSubState"] = json!(run.sub_state);
    }
    if let Some(ended) = run.ended {
        properties["endTime"] = json!(ended.to_string());
    }
    if let Some(optimization) = &run.optimization {
        properties["optimization"] = optimization.clone();
    }
    properties
}
