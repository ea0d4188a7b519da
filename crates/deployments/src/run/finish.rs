//! The end of a deployment: outputs, the deletions of Complete mode, the deployment that replaces a failed one, and the
//! commit of the final state.

use std::collections::BTreeSet;

use arm::{ApiError, operation};
use arm_template::{Answers, Kind, Output, OutputError};
use db::{OperationStatus, Resource, ResourceKey, Write};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Run, Stop, rollback};
use crate::{
    ask::{self, url},
    errors,
    manager::Requests,
    record::{Record, Step},
    surplus::{delete, kept, surplus},
};

const OUTPUTS: &str = "EvaluateDeploymentOutput";
const DELETE: &str = "Delete";

impl Run {
    /// Ends the deployment.
    pub(super) async fn finish(mut self, mut errors: Vec<Value>) -> Result<(), Stop> {
        let (id, mut writes) = (self.record.row.id.clone(), Vec::new());
        if errors.is_empty() && self.record.is_complete_mode() {
            errors = self.delete_others().await?;
        }
        let error = match errors.as_slice() {
            [] => self.evaluate_outputs(&mut writes).await?,
            all => Some(errors::failed(&id, all)),
        };
        let deployed = self.deployed();
        self.record.row.body["properties"]["outputResources"] = deployed;
        if error.is_some() && !self.record.hidden.is_rollback {
            rollback::deploy(&mut self).await?;
        }
        commit(&self.requests, self.record, error, writes).await
    }

    /// Evaluates the outputs. Returns the error of the deployment if one is wrong.
    async fn evaluate_outputs(&mut self, writes: &mut Vec<Write>) -> Result<Option<Value>, Stop> {
        let mut step = self.other(OUTPUTS, None);
        let outputs = match self.outputs().await.map_err(Stop::Broken)? {
            Ok(outputs) => outputs,
            Err((name, error)) => {
                let body = errors::outputs(&name, &error);
                let message = json!({ "status": "Failed", "error": body });
                step.end("Failed", "BadRequest", Some(message));
                writes.push(Write::DeploymentOperation(step.row));
                return Ok(Some(errors::failed(&self.record.row.id, &[body])));
            }
        };
        step.end("Succeeded", "OK", None);
        writes.push(Write::DeploymentOperation(step.row));
        let (mut shown, mut secure) = (Map::new(), Map::new());
        for output in outputs {
            let mut entry = json!({ "type": output.type_name });
            let value = output.value.as_ref().map_or(Value::Null, Value::from);
            if output.secure {
                secure.insert(output.name.to_string(), value);
            } else {
                entry["value"] = value;
            }
            shown.insert(output.name.to_string(), entry);
        }
        self.record.row.body["properties"]["outputs"] = Value::Object(shown);
        self.record.hidden.secure_outputs = Value::Object(secure);
        Ok(None)
    }

    /// The outputs, or the name and the error of the first wrong one.
    async fn outputs(&self) -> Result<Result<Vec<Output>, (String, ApiError)>, ApiError> {
        let mut answers = Answers::new();
        loop {
            let wrong: Vec<OutputError> = match self.plan.outputs(&answers) {
                Ok(outputs) => return Ok(Ok(outputs)),
                Err(wrong) => wrong,
            };
            let open = answers.open_questions();
            let is_pending = wrong.iter().any(|one| one.error.kind == Kind::Pending);
            if !is_pending || open.is_empty() {
                let first = wrong.into_iter().find(|one| one.error.kind != Kind::Pending);
                return Ok(Err(match first {
                    Some(one) => (one.name.to_string(), errors::template(&one.error)),
                    None => (String::new(), ApiError::internal("an output stays unknown")),
                }));
            }
            for question in open {
                let answer = ask::answer(&self.requests, &question).await?;
                answers.insert(&question, answer);
            }
        }
    }

    fn other(&mut self, what: &str, target: Option<Value>) -> Step {
        let number = self.number();
        Step::begin(&self.record.key(), number, what, None, target)
    }

    /// Deletes the resources of the group that the template does not have. Returns the errors.
    async fn delete_others(&mut self) -> Result<Vec<Value>, Stop> {
        let mut kept = kept(&self.plan);
        self.add_nested(&mut kept).await.map_err(Stop::Broken)?;
        let surplus = surplus(&self.requests, &self.record.row.scope, &kept).await;
        let surplus = surplus.map_err(Stop::Broken)?;
        self.end_deletions(&surplus).await?;
        let mut errors = Vec::new();
        for resource in surplus {
            let mut step = self.deletion(&resource);
            self.commit(vec![Write::DeploymentOperation(step.row.clone())]).await?;
            match delete(&self.requests, &resource).await {
                Ok(()) => step.end("Succeeded", "OK", None),
                Err(error) => {
                    let body = errors::resource_refused(&resource.id, &error);
                    let status = errors::status_word(error.status);
                    let message = json!({ "status": "Failed", "error": body });
                    step.end("Failed", &status, Some(message));
                    errors.push(body);
                }
            }
            self.commit(vec![Write::DeploymentOperation(step.row.clone())]).await?;
        }
        Ok(errors)
    }

    /// The step of a deletion, also of one that an earlier process began.
    fn deletion(&mut self, resource: &Resource) -> Step {
        let begun = self.others.iter().find(|step| {
            is_open_deletion(step) && step.row.body["targetResource"]["id"] == resource.id
        });
        if let Some(step) = begun {
            return step.clone();
        }
        let target = json!({
            "id": resource.id,
            "resourceType": resource.kind,
            "resourceName": resource.name,
        });
        self.other(DELETE, Some(target))
    }

    /// Ends the steps of deletions that an earlier process completed.
    async fn end_deletions(&mut self, surplus: &[Resource]) -> Result<(), Stop> {
        let is_there =
            |step: &Step| surplus.iter().any(|one| step.row.body["targetResource"]["id"] == one.id);
        let mut writes = Vec::new();
        for step in &mut self.others {
            if is_open_deletion(step) && !is_there(step) {
                step.end("Succeeded", "OK", None);
                writes.push(Write::DeploymentOperation(step.row.clone()));
            }
        }
        self.commit(writes).await
    }

    /// Adds what nested deployments made: it belongs to the template, too.
    async fn add_nested(&self, kept: &mut BTreeSet<String>) -> Result<(), ApiError> {
        let nested =
            self.plan.resources().iter().filter(|one| one.condition && one.is_deployment());
        let mut open: Vec<ResourceKey> = nested.map(|one| ResourceKey::of(&one.id)).collect();
        while let Some(key) = open.pop() {
            let Some(row) = self.requests.app().store().deployment(&key).await? else { continue };
            let made = row.body["properties"]["outputResources"].as_array();
            for id in made.into_iter().flatten().filter_map(|one| one["id"].as_str()) {
                let key = ResourceKey::of(&url(id));
                if kept.insert(key.as_str().to_owned()) {
                    open.push(key);
                }
            }
        }
        Ok(())
    }
}

fn is_open_deletion(step: &Step) -> bool {
    step.row.body["provisioningOperation"] == DELETE && step.state() == "Running"
}

/// Ends a deployment whose template cannot be evaluated any more.
pub(super) async fn without_plan(
    requests: &Requests,
    record: Record,
    error: &ApiError,
) -> Result<(), Stop> {
    let details = [error.body()];
    let error = errors::failed(&record.row.id, &details);
    commit(requests, record, Some(error), Vec::new()).await
}

/// Commits the final state, together with the operation.
async fn commit(
    requests: &Requests,
    mut record: Record,
    error: Option<Value>,
    mut writes: Vec<Write>,
) -> Result<(), Stop> {
    let state = if error.is_some() { "Failed" } else { "Succeeded" };
    record.set_state(state, Timestamp::now());
    if let Some(error) = &error {
        record.row.body["properties"]["error"] = error.clone();
    }
    let store = requests.app().store();
    let operation = store.operation(&record.hidden.operation).await?;
    if let Some(row) = operation.filter(|row| row.status == OperationStatus::InProgress) {
        writes.push(Write::Operation(operation::ended(row, error.map_or(Ok(()), Err))));
    }
    writes.insert(0, Write::ReplaceDeployment(record.into_row()?));
    Ok(store.commit(writes).await?)
}
