//! `imageTemplates/runs`: an extension, not in Azure. The runs of a template, newest first, so that
//! clients can look at more than the last one. Read-only; kept in the store's runs, not as resources.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    API_VERSIONS, RUNS, outputs::read_only, template_key, template_not_found, view::shown,
};
use crate::{
    App,
    arm::{ApiError, Call, Reply, ResourceType},
    store::{Resource, ResourceKey, Run},
};

/// How many runs a list has at most.
const MOST: u32 = 1000;

/// The resource type `imageTemplates/runs`.
#[derive(Debug)]
pub(crate) struct Runs;

#[async_trait]
impl ResourceType for Runs {
    fn name(&self) -> &'static str {
        RUNS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        API_VERSIONS
    }

    async fn put(&self, _app: &App, call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
        Err(read_only(call))
    }

    async fn patch(&self, _app: &App, call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
        Err(read_only(call))
    }

    async fn delete(&self, _app: &App, call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
        Err(read_only(call))
    }

    async fn get(
        &self,
        app: &App,
        call: &Call,
        key: &ResourceKey,
    ) -> Result<Option<Reply>, ApiError> {
        let template = template(app, call, &template_key(key)).await?;
        let id = key.as_str().rsplit('/').next().unwrap_or_default();
        let run = app.store().run(id).await?;
        let own =
            run.filter(|run| run.template == template.key() && run.queued >= template.created);
        match own {
            Some(run) => Ok(Some(Reply::ok(view(&template, &run)))),
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
        let template = template(app, call, parent).await?;
        let runs = app.store().runs_of(parent, MOST).await?;
        let own = runs.iter().filter(|run| run.queued >= template.created);
        let value: Vec<Value> = own.map(|run| view(&template, run)).collect();
        Ok(Some(Reply::ok(json!({ "value": value }))))
    }
}

async fn template(app: &App, call: &Call, key: &ResourceKey) -> Result<Resource, ApiError> {
    app.store().resource(key).await?.ok_or_else(|| template_not_found(call))
}

fn view(template: &Resource, run: &Run) -> Value {
    let mut properties = json!({
        "runState": run.state,
        "message": run.message,
        "startTime": run.queued.to_string(),
        "operationId": run.operation,
    });
    if !run.sub_state.is_empty() {
        properties["runSubState"] = json!(run.sub_state);
    }
    if let Some(ended) = run.ended {
        properties["endTime"] = json!(ended.to_string());
    }
    if let Some(optimization) = &run.optimization {
        properties["optimization"] = optimization.clone();
    }
    json!({
        "id": format!("{}/runs/{}", shown(&template.id), run.id),
        "name": run.id,
        "type": RUNS,
        "properties": properties,
    })
}
