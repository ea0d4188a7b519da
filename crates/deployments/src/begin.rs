//! The rows of a new deployment: one commit writes them, and a task takes them over.

use std::sync::Arc;

use arm::{ApiError, operation, region};
use arm_template::Plan;
use db::{Deployment, Operation, ResourceKey, Write};
use serde_json::{Value, json};
use service::tasks;

use crate::{
    history,
    load::Draft,
    manager::{Manager, Requests},
    place::{Place, TYPE},
    record::{Hidden, KIND, Parent, Record},
    request::{Mode, Request},
    view,
};

/// Starts the task of a recorded deployment.
pub(crate) type Start = fn(Manager, Record, Option<Arc<Plan>>);

/// The deployment of that name, if it has ended.
///
/// # Errors
/// `DeploymentActive`
pub(crate) async fn replaceable(
    requests: &Requests,
    place: &Place,
    name: &str,
) -> Result<Option<Record>, ApiError> {
    let key = ResourceKey::of(&place.deployment(name));
    let existing = Record::find(requests.app().store(), &key).await?;
    match existing {
        Some(record) if record.is_active() => Err(history::active(&record.row, "edit or replace")),
        existing => Ok(existing),
    }
}

/// A deployment to the subscription has a location, which stays the same for its name.
pub(crate) fn check_location(
    requests: &Requests,
    place: &Place,
    request: &Request,
    existing: Option<&Record>,
) -> Result<(), ApiError> {
    let location = request.location.as_deref().filter(|text| !text.trim().is_empty());
    match (&place.group, location) {
        // A group has a location of its own.
        (Some(_), _) => Ok(()),
        (None, _) if request.mode == Mode::Complete => Err(ApiError::bad_request(
            "InvalidDeployment",
            "The mode 'Complete' is only possible for deployments to a resource group.",
        )
        .target("properties.mode")),
        (None, None) => Err(ApiError::bad_request(
            "LocationRequired",
            "The 'location' property is required for a deployment to the subscription. Please see https://aka.ms/arm-template-deployment for usage details.",
        )
        .target("location")),
        (None, Some(wanted)) => {
            region::check(requests.app().context(), TYPE, wanted)?;
            let current = existing.and_then(|record| record.hidden.location.as_deref());
            match current {
                Some(current) if region::normalise(current) != region::normalise(wanted) => {
                    Err(ApiError::conflict(
                        "InvalidDeploymentLocation",
                        format!(
                            "Invalid deployment location '{wanted}'. The deployment already exists in location '{current}'."
                        ),
                    )
                    .target("location"))
                }
                _ => Ok(()),
            }
        }
    }
}

/// A deployment to begin.
pub(crate) struct New<'a> {
    pub(crate) place: &'a Place,
    pub(crate) name: &'a str,
    pub(crate) draft: &'a Draft,
    pub(crate) parent: Option<Parent>,
    /// The deployment that begins this one, and its revision: one that has ended meanwhile begins nothing.
    pub(crate) fence: Option<(ResourceKey, i64)>,
    pub(crate) is_rollback: bool,
}

impl New<'_> {
    /// Writes the rows, in place of those of an earlier deployment, and starts the task.
    ///
    /// # Errors
    /// `DeploymentQuotaExceeded`, `DeploymentActive`.
    pub(crate) async fn begin(
        &self,
        requests: &Requests,
        existing: Option<Record>,
        text: &str,
        plan: Arc<Plan>,
        start: Start,
    ) -> Result<Record, ApiError> {
        let app = requests.app();
        if existing.is_none() {
            history::make_room(app, &self.place.key(), self.name).await?;
        }
        let (row, operation) = self.rows(requests, &plan)?;
        let mut writes = Vec::new();
        let fence = self.fence.clone();
        writes.extend(fence.map(|(key, revision)| Write::CheckDeployment(key, revision)));
        let replaced = existing.map(|old| (old.key(), old.row.revision));
        writes.extend(replaced.map(|(key, revision)| Write::RemoveDeployment(key, revision)));
        writes.push(Write::InsertDeployment(row.clone(), text.to_owned()));
        writes.push(Write::Operation(operation));
        let row = Deployment { revision: row.revision.saturating_add(1), ..row };
        let record = Record::of(row)?;
        let (manager, begun) = (requests.manager().clone(), record.clone());
        let begin = async move {
            let app = manager.app.clone();
            match app.store().commit(writes).await {
                Ok(()) => {}
                Err(db::Error::Stale { .. }) => {
                    return Err(history::active(&begun.row, "edit or replace"));
                }
                Err(error) => return Err(error.into()),
            }
            start(manager, begun, Some(plan));
            Ok(())
        };
        tasks::to_the_end(app, begin).await?;
        Ok(record)
    }

    fn rows(&self, requests: &Requests, plan: &Plan) -> Result<(Deployment, Operation), ApiError> {
        let request = &self.draft.request;
        let id = self.place.deployment(self.name);
        let subscription = &self.place.subscription.id;
        let operation = Operation {
            started: self.draft.now,
            origin: requests.origin(&id).to_json(),
            ..operation::new(KIND, ResourceKey::of(&id), subscription)
        };
        let mut properties = view::properties(self.draft, plan, &self.draft.hash);
        properties["correlationId"] = json!(requests.client.correlation_id);
        let mut body = json!({ "properties": properties });
        if let Some(tags) = request.checked_tags()? {
            body["tags"] = tags;
        }
        let hidden = Hidden {
            operation: operation.id.clone(),
            client: requests.client.clone(),
            location: request.location.clone().filter(|_| self.place.group.is_none()),
            seed: self.draft.seed.clone(),
            links: self.draft.links.clone(),
            secure_outputs: Value::Null,
            is_rollback: self.is_rollback,
            parent: self.parent.clone(),
        };
        let hidden = serde_json::to_value(hidden).map_err(ApiError::internal)?;
        let row = Deployment {
            id,
            scope: self.place.key(),
            name: self.name.to_owned(),
            // Greater than any of an earlier deployment of that name, whose task may still end.
            revision: self.draft.now.as_microsecond(),
            started: self.draft.now,
            ended: None,
            body,
            hidden,
        };
        Ok((row, operation))
    }
}
