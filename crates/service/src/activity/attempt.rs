//! One request that changes something, or is refused.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Instant;

use arm::{ApiError, Caller, Method, Reply, Request, operation::Origin};
use authorization::Scope;
use db::{Activity, Record, ResourceKey, Write};
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    App,
    conceal::Conceal,
    events::{
        background::{begun, operations},
        event::{Status, Told, event},
    },
};

const ASSIGN: &str = "Microsoft.Authorization/roleAssignments/write";
const UNASSIGN: &str = "Microsoft.Authorization/roleAssignments/delete";

/// An attempt at a change. It is the record of the store that answers the request.
#[derive(Debug)]
pub struct Attempt {
    tenant: String,
    origin: Origin,
    method: Method,
    /// Joins its events, unless it begins an operation, which has an id.
    operation: String,
    /// The ids in the body of a new role assignment.
    assigned: Option<String>,
    /// The role assignment that it removes.
    removed: Option<String>,
    /// Whether its events are written.
    is_recorded: AtomicBool,
}

impl Attempt {
    /// The attempt of a request, whose right is `action`; `None` for reads.
    pub async fn of(app: &App, request: &Request, action: &str) -> Option<Arc<Self>> {
        let action = match request.method {
            Method::Get | Method::Head => return None,
            Method::Post if action.ends_with("/read") => return None,
            Method::Post => action.to_owned(),
            // What cannot be written has the right to read, but that is not what was tried.
            Method::Put | Method::Patch => with_end(action, "write"),
            Method::Delete => with_end(action, "delete"),
        };
        let assigned = (action == ASSIGN).then(|| ids_of(&request.body)).flatten();
        let removed = match action == UNASSIGN {
            true => removed(app, &request.path.text).await,
            false => None,
        };
        Some(Arc::new(Self {
            tenant: app.settings().tenant.clone(),
            origin: Origin::of(request, &action),
            method: request.method,
            operation: Uuid::now_v7().to_string(),
            assigned,
            removed,
            is_recorded: AtomicBool::new(false),
        }))
    }

    /// The service, with the events of this attempt in its commits.
    #[must_use]
    pub fn within(self: &Arc<Self>, app: &App) -> App {
        app.recording(self.clone())
    }

    /// Records what no commit has recorded: a success without a change, or a failure.
    pub async fn finish(&self, app: &App, answered: &Result<Reply, ApiError>) {
        let is_recorded = self.is_recorded.load(Ordering::Acquire);
        let events = match answered {
            Ok(_) if is_recorded => return,
            Ok(reply) => self.pair(&self.operation, Status::Succeeded, reply.status),
            Err(error) => {
                let is_denied =
                    error.status == StatusCode::FORBIDDEN || error.code.as_str() == "ScopeLocked";
                if !app.activities().refusals.admit(&self.origin, is_denied, Instant::now()) {
                    return;
                }
                let failed = self.event(&self.operation, failure(app, error));
                vec![placed(app, &self.origin, failed).await]
            }
        };
        let writes = events.into_iter().map(Write::Activity).collect();
        if let Err(error) = app.activity_store().commit(writes).await {
            let Origin { client_id, action, resource_id, .. } = &self.origin;
            let is_success = answered.is_ok();
            tracing::error!(
                %error, client_id, action, resource_id, is_success,
                "an event cannot be written to the activity log"
            );
        }
    }

    /// The events of a commit that carries out the request.
    fn own(&self, writes: &[Write]) -> Vec<Activity> {
        if let Some(row) = begun(writes) {
            return self.pair(&row.id, Status::Accepted, self.status(writes, StatusCode::ACCEPTED));
        }
        self.pair(&self.operation, Status::Succeeded, self.status(writes, StatusCode::OK))
    }

    /// What the answer to a change will say.
    fn status(&self, writes: &[Write], otherwise: StatusCode) -> StatusCode {
        if self.method != Method::Put {
            return otherwise;
        }
        let is_new = writes.iter().any(|write| match write {
            Write::Insert(row) => row.key() == ResourceKey::of(&self.origin.resource_id),
            Write::InsertAssignment(_) | Write::InsertDeployment(..) => true,
            Write::PutRole(row) => row.revision == 0,
            Write::PutLock(row) => row.revision == 0,
            _ => false,
        });
        if is_new { StatusCode::CREATED } else { StatusCode::OK }
    }

    fn pair(&self, operation: &str, status: Status, http: StatusCode) -> Vec<Activity> {
        let mut started = Told::new(Status::Started, None);
        if let Some(body) = &self.assigned {
            // Clients read this spelling.
            started = started.with("requestbody", body.as_str());
        }
        let mut ended = Told::new(status, Some(http));
        if let Some(body) = &self.removed {
            ended = ended.with("responseBody", body.as_str());
        }
        vec![self.event(operation, started), self.event(operation, ended)]
    }

    fn event(&self, operation: &str, told: Told) -> Activity {
        event(&self.tenant, &self.origin, operation, told)
    }
}

impl Record for Attempt {
    fn events(&self, writes: &[Write]) -> Vec<Activity> {
        if self.is_recorded.load(Ordering::Acquire) {
            return operations(&self.tenant, writes, None);
        }
        let mut events = self.own(writes);
        let own = begun(writes).map(|row| row.id.as_str());
        events.extend(operations(&self.tenant, writes, own));
        events
    }

    fn written(&self, _writes: &[Write]) {
        self.is_recorded.store(true, Ordering::Release);
    }
}

/// The action of another verb on the same type.
fn with_end(action: &str, verb: &str) -> String {
    match action.strip_suffix("/read") {
        Some(kind) => format!("{kind}/{verb}"),
        None => action.to_owned(),
    }
}

/// The event of a failure. Only messages about rights, locks and conflicts are kept: others may repeat what the body has.
fn failure(app: &App, error: &ApiError) -> Told {
    let told = Told::new(Status::Failed, Some(error.status)).with("errorCode", error.code.as_str());
    if !matches!(error.status, StatusCode::FORBIDDEN | StatusCode::CONFLICT) {
        return told;
    }
    let message = Conceal::of(&app.settings().layout).message(&error.message);
    told.with("message", bounded(message))
}

/// The event of a refusal, in the log of its subscription. One of a caller without any role in that subscription, or about one
/// that does not exist, is in the tenant's log: nobody fills the log of a subscription from outside.
async fn placed(app: &App, origin: &Origin, refused: Activity) -> Activity {
    let id = refused.subscription.as_str();
    if id.is_empty() {
        return refused;
    }
    let caller =
        Caller { client_id: origin.client_id.clone(), object_id: origin.object_id.clone() };
    let there = Scope::parse(&format!("/subscriptions/{id}"));
    let is_known = matches!(app.enter(id).await, Ok(Some(_)))
        && app.rights(&caller).await.is_ok_and(|rights| rights.touches(&there));
    let subscription = if is_known { refused.subscription } else { String::new() };
    Activity { subscription, ..refused }
}

/// The longest message in an event, in bytes.
const MESSAGE: usize = 2048;

/// The beginning of a text that a client may have made long.
fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MESSAGE));
    text
}

/// The ids in the body of a role assignment. Texts that are no ids are left out: they may be anything, of any length.
fn ids_of(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let text = |name: &str| body["properties"][name].as_str().unwrap_or_default().to_owned();
    let id = |text: &str| Uuid::try_parse(text).map(|id| id.to_string()).unwrap_or_default();
    let role = text("roleDefinitionId");
    let role = match id(role.rsplit('/').next().unwrap_or_default()) {
        role if role.is_empty() => role,
        role => format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"),
    };
    let kind = text("principalType");
    let is_kind = kind.len() <= 32 && kind.chars().all(|c| c.is_ascii_alphabetic());
    Some(
        json!({ "properties": {
            "principalId": id(&text("principalId")),
            "principalType": if is_kind { kind.as_str() } else { "" },
            "roleDefinitionId": role,
        }})
        .to_string(),
    )
}

/// What a role assignment was.
async fn removed(app: &App, id: &str) -> Option<String> {
    // The log does without it if the database fails: then the request fails, too.
    let row = app.store().assignment(&ResourceKey::of(id)).await.ok()??;
    Some(
        json!({ "id": row.id, "name": row.name, "properties": {
            "principalId": row.principal,
            "principalType": row.principal_type,
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{}", row.role),
            // In the spelling of the client, if it is known.
            "scope": row.body["scope"].as_str().unwrap_or(&row.scope),
        }})
        .to_string(),
    )
}

impl App {
    /// Writes the rows for refusals that were only counted.
    pub(super) async fn record_counted_refusals(&self, all: bool) -> Result<(), db::Error> {
        let over = self.activities().refusals.over(Instant::now(), all);
        let tenant = &self.settings().tenant;
        let mut rows = Vec::new();
        for (origin, more) in over {
            let told = Told::new(Status::Failed, None)
                .with("message", format!("{more} more requests of this caller were refused."))
                .with("more", more);
            let counted = event(tenant, &origin, &Uuid::now_v7().to_string(), told);
            rows.push(Write::Activity(placed(self, &origin, counted).await));
        }
        self.activity_store().commit(rows).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_role_assignment_only_ids_are_kept() {
        let id = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
        let long = "x".repeat(1 << 20);
        let body = |role: String, kind: &str| {
            let properties =
                json!({ "roleDefinitionId": role, "principalId": id, "principalType": kind });
            ids_of(&json!({ "properties": properties }).to_string()).unwrap()
        };
        let kept = body(format!("/{long}/roleDefinitions/{id}"), "User");
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(
            kept["properties"],
            json!({
                "principalId": id, "principalType": "User",
                "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{id}"),
            })
        );
        assert!(body(long.clone(), &long).len() < 300);
        assert_eq!(bounded("é".repeat(2000)).len(), MESSAGE);
    }
}
