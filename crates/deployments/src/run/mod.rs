//! A deployment at work: its resources in the order of their dependencies, then the outputs.
//!
//! Before a write begins, a commit records that; after a restart the records say which writes may have happened. Every
//! commit is fenced by the revision of the deployment's row, so a deployment that was canceled writes nothing more.

mod finish;
mod nested;
mod resource;
mod rollback;
mod settle;
mod work;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arm::ApiError;
use arm_template::{Plan, Resource};
use db::{Operation, Write};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use serde_json::{Value, json};
use service::tasks;

use crate::{
    load,
    manager::{Manager, Requests},
    record::{KIND, Record, Step},
    request::Debug,
    view,
};

use work::{Ended, Work};

/// How many resources of one deployment are at work at the same time.
const AT_WORK: usize = 16;

/// The pause before an interrupted deployment goes on. Each further one is twice as long, up to the last.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why the task of a deployment stops before its end.
#[derive(Debug)]
enum Stop {
    /// The service shuts down; the next start continues.
    Shutdown,
    /// Another request ended or removed the deployment.
    Superseded,
    /// The database cannot be used, or there is a bug.
    Broken(ApiError),
}

impl From<db::Error> for Stop {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Stale { .. } => Self::Superseded,
            db::Error::NotOwner => Self::Shutdown,
            error @ db::Error::Database(_) => Self::Broken(error.into()),
        }
    }
}

/// Continues a deployment after a restart.
pub async fn resume(manager: Manager, operation: Operation) {
    match Record::find(manager.app.store(), &operation.target).await {
        Ok(Some(record)) if record.hidden.operation == operation.id => {
            start(manager, record, None);
        }
        Ok(_) => {
            if let Err(error) = end_removed(&manager, operation).await {
                tracing::error!(?error, "the end of a removed deployment could not be recorded");
            }
        }
        Err(error) => tracing::error!(?error, "a deployment cannot be read"),
    }
}

/// Ends the operation of a deployment that was removed, for example with its group.
async fn end_removed(manager: &Manager, operation: Operation) -> Result<(), db::Error> {
    let gone = json!({ "code": "DeploymentNotFound", "message": "The deployment was removed." });
    let row = arm::operation::ended(operation, Err(gone));
    manager.app.store().commit(vec![Write::Operation(row)]).await
}

/// After another request ended or removed a deployment: ends the operation, if that did not.
async fn after_removal(manager: &Manager, id: &str) -> Result<(), db::Error> {
    match manager.app.store().operation(id).await? {
        Some(operation) if operation.ended.is_none() => {
            let found = Record::find(manager.app.store(), &operation.target).await?;
            match found {
                Some(record) if record.hidden.operation == id => Ok(()),
                _ => end_removed(manager, operation).await,
            }
        }
        _ => Ok(()),
    }
}

/// Starts the task of a recorded deployment. Without a plan it is made from the records.
pub(crate) fn start(manager: Manager, record: Record, plan: Option<Arc<Plan>>) {
    let app = manager.app.clone();
    tasks::spawn(&app, KIND, async move {
        let operation = record.hidden.operation.clone();
        if matches!(until_end(&manager, record, plan).await, Err(Stop::Superseded))
            && let Err(error) = after_removal(&manager, &operation).await
        {
            tracing::error!(operation, ?error, "the operation of a deployment stays open");
        }
    });
}

/// Runs a deployment to its end. What the service or its database cannot do now is tried again later.
async fn until_end(
    manager: &Manager,
    mut record: Record,
    mut plan: Option<Arc<Plan>>,
) -> Result<(), Stop> {
    let (key, operation) = (record.key(), record.hidden.operation.clone());
    let mut pause = SHORTEST_PAUSE;
    loop {
        let ended = Box::pin(run(manager.clone(), record, plan.take())).await;
        let Err(Stop::Broken(error)) = ended else { return ended };
        tracing::error!(deployment = %key, ?error, "a deployment is interrupted");
        record = loop {
            tokio::select! {
                biased;
                () = manager.app.shutdown().cancelled() => return Err(Stop::Shutdown),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            match Record::find(manager.app.store(), &key).await {
                Ok(Some(record)) if record.hidden.operation == operation && record.is_active() => {
                    break record;
                }
                Ok(_) => return Err(Stop::Superseded),
                Err(error) => tracing::error!(?error, "a deployment cannot be read"),
            }
        };
    }
}

async fn run(manager: Manager, record: Record, plan: Option<Arc<Plan>>) -> Result<(), Stop> {
    let requests = manager.requests(record.hidden.client.clone());
    let plan = match plan {
        Some(plan) => plan,
        None => match load::recorded(&requests, &record).await {
            Ok(plan) => plan,
            Err(error) if error.status.is_server_error() => return Err(Stop::Broken(error)),
            Err(error) => return finish::without_plan(&requests, record, &error).await,
        },
    };
    let mut run = Run::new(requests, record, plan).await?;
    run.show_running().await?;
    let errors = run.resources().await?;
    run.finish(errors).await
}

/// The state of a deployment's task.
struct Run {
    requests: Requests,
    record: Record,
    plan: Arc<Plan>,
    /// What was begun, by the place of the resource in the plan.
    steps: BTreeMap<usize, Step>,
    /// The steps that no resource of the plan has, such as deletions.
    others: Vec<Step>,
    next_number: i64,
    debug: Debug,
}

impl Run {
    async fn new(requests: Requests, record: Record, plan: Arc<Plan>) -> Result<Self, Stop> {
        let rows = requests.app().store().deployment_operations(&record.key()).await?;
        let (mut steps, mut others, mut next_number) = (BTreeMap::new(), Vec::new(), 0);
        for row in rows {
            next_number = next_number.max(row.number.saturating_add(1));
            let step = Step { row };
            match step.hidden().map_err(Stop::Broken)?.index {
                Some(index) => drop(steps.insert(index, step)),
                None => others.push(step),
            }
        }
        let detail = record.row.body["properties"]["debugSetting"]["detailLevel"].as_str();
        let debug = Debug::of(detail.unwrap_or_default());
        Ok(Self { requests, record, plan, steps, others, next_number, debug })
    }

    /// Commits writes together with a check that the deployment is still this task's.
    async fn commit(&self, mut writes: Vec<Write>) -> Result<(), Stop> {
        if writes.is_empty() {
            return Ok(());
        }
        writes.insert(0, Write::CheckDeployment(self.record.key(), self.record.row.revision));
        Ok(self.requests.app().store().commit(writes).await?)
    }

    async fn show_running(&mut self) -> Result<(), Stop> {
        if self.record.state() == "Running" {
            return Ok(());
        }
        self.record.set_state("Running", Timestamp::now());
        let row = self.record.clone().into_row()?;
        self.requests.app().store().commit(vec![Write::ReplaceDeployment(row)]).await?;
        self.record.row.revision += 1;
        Ok(())
    }

    fn number(&mut self) -> i64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Makes all resources. Returns the errors of those that failed.
    async fn resources(&mut self) -> Result<Vec<Value>, Stop> {
        let shutdown = self.requests.app().shutdown().clone();
        let mut at_work = FuturesUnordered::new();
        let mut errors = self.earlier_errors();
        // Those that an earlier process began.
        for (index, step) in &self.steps {
            if step.state() == "Running" {
                at_work.push(self.work(*index, step, true)?.run());
            }
        }
        let mut writes = Vec::new();
        loop {
            let ready = match errors.is_empty() {
                true => self.ready(AT_WORK.saturating_sub(at_work.len())),
                false => Vec::new(),
            };
            for index in &ready {
                let step = self.begin(*index);
                writes.push(Write::DeploymentOperation(step.row.clone()));
                self.steps.insert(*index, step);
            }
            self.commit(std::mem::take(&mut writes)).await?;
            for index in ready {
                if let Some(step) = self.steps.get(&index) {
                    at_work.push(self.work(index, step, false)?.run());
                }
            }
            let first = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(Stop::Shutdown),
                ended = at_work.next() => ended,
            };
            let Some(first) = first else { return Ok(errors) };
            let mut ended = vec![first];
            // All that ended meanwhile share one commit.
            while let Some(Some(other)) = at_work.next().now_or_never() {
                ended.push(other);
            }
            for one in ended {
                let one = one.map_err(|error| match shutdown.is_cancelled() {
                    true => Stop::Shutdown,
                    false => Stop::Broken(error),
                })?;
                writes.extend(self.ended(one, &mut errors));
            }
        }
    }

    /// The errors of steps that failed before a restart.
    fn earlier_errors(&self) -> Vec<Value> {
        let failed = self.steps.values().filter(|step| step.state() == "Failed");
        failed.map(|step| step.row.body["statusMessage"]["error"].clone()).collect()
    }

    /// Resources whose dependencies have succeeded, in the template's order.
    fn ready(&self, most: usize) -> Vec<usize> {
        let all = self.plan.resources();
        let is_done = |index: &usize| match all.get(*index) {
            Some(resource) if resource.condition => {
                self.steps.get(index).is_some_and(|step| step.state() == "Succeeded")
            }
            _ => true,
        };
        let waits = self.plan.order().iter().copied().filter(|index| {
            all.get(*index).is_some_and(|resource| {
                resource.condition
                    && !self.steps.contains_key(index)
                    && resource.after.iter().all(is_done)
            })
        });
        waits.take(most).collect()
    }

    fn begin(&mut self, index: usize) -> Step {
        let number = self.number();
        let resource = &self.plan.resources()[index];
        let what = if resource.existing { "Read" } else { "Create" };
        let target = Some(view::operation_target(resource));
        Step::begin(&self.record.key(), number, what, Some(index), target)
    }

    fn work(&self, index: usize, step: &Step, is_resumed: bool) -> Result<Work, Stop> {
        Ok(Work {
            requests: self.requests.clone(),
            plan: self.plan.clone(),
            deployment: self.record.row.id.clone(),
            revision: self.record.row.revision,
            is_rollback: self.record.hidden.is_rollback,
            index,
            begun: step.hidden().map_err(Stop::Broken)?.begun,
            is_resumed,
            debug: self.debug,
        })
    }

    /// The write of a step that ended.
    fn ended(&mut self, ended: Ended, errors: &mut Vec<Value>) -> Option<Write> {
        let step = self.steps.get_mut(&ended.index)?;
        for (field, content) in [("request", ended.request), ("response", ended.response)] {
            if let Some(content) = content {
                step.row.body[field] = json!({ "content": content });
            }
        }
        match ended.result {
            Ok(()) => step.end("Succeeded", &ended.status, None),
            Err(error) => {
                let message = json!({ "status": "Failed", "error": error });
                step.end("Failed", &ended.status, Some(message));
                errors.push(error);
            }
        }
        Some(Write::DeploymentOperation(step.row.clone()))
    }

    /// What was deployed so far, as `outputResources` shows it.
    fn deployed(&self) -> Value {
        let all = self.plan.resources().iter().enumerate();
        let done = |(index, resource): &(usize, &Resource)| {
            !resource.existing
                && self.steps.get(index).is_some_and(|step| step.state() == "Succeeded")
        };
        all.filter(done).map(|(_, resource)| json!({ "id": &*resource.id })).collect()
    }
}
