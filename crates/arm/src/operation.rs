//! Long-running operations: starting, polling and ending them.
//!
//! ```text
//! handler: Started::in_region ─ commit(resource change, operation InProgress) ─ 201/202 with poll URLs
//! task:    the work ─ commit(resource change, operation Succeeded | Failed)
//! restart: every operation InProgress is resumed by its kind (`resume`)
//! ```
//!
//! The rules are those of ARM's asynchronous operations: PUT answers with the resource and `Azure-AsyncOperation`, what has
//! no resource to show answers 202 with `Location`, and the status names one of the terminal states at the end.
//!
//! The URL answers as long as the row exists, even after the resource was deleted.

use db::{Operation, OperationStatus, ResourceKey};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{ApiError, Call, Method, Reply, Request};

/// Seconds between two polls. Never 0, which clients read as 30.
const RETRY_AFTER: &str = "1";
/// The caller name for work that the service starts itself.
pub const SERVICE: &str = "goldsmith";
/// The maximum length of the id of a resource in a record of a request.
const ID_CHARS: usize = 1024;

/// Who began an operation, by which action and from where. It is kept with the operation, for the event of its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Origin {
    /// The application (client) id.
    pub client_id: String,
    /// The object id.
    pub object_id: String,
    /// `Microsoft.Compute/images/write`.
    pub action: String,
    /// What the action is about, in the client's spelling.
    pub resource_id: String,
    /// The verb, as HTTP spells it.
    pub method: String,
    /// Joins what one request caused.
    pub correlation_id: String,
    /// The id of the request.
    pub request_id: String,
    /// The client's IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_address: Option<String>,
    /// The id that the client gave to the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
    /// Why it began, if no request began it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Origin {
    /// The origin of a request for an action.
    pub fn of(request: &Request, action: &str) -> Self {
        let text = request.path.text.as_str();
        // The last part of the path of a POST is the action.
        let resource = match request.method {
            Method::Post => text.rsplit_once('/').map_or(text, |(resource, _)| resource),
            _ => text,
        };
        Self {
            client_id: request.caller.client_id.clone(),
            object_id: request.caller.object_id.clone(),
            action: action.to_owned(),
            resource_id: resource.chars().take(ID_CHARS).collect(),
            method: request.method.name().to_owned(),
            correlation_id: request.correlation_id.as_ref().unwrap_or(&request.request_id).clone(),
            request_id: request.request_id.clone(),
            client_address: request.client.address.clone(),
            client_request_id: request.client.request_id.clone(),
            cause: None,
        }
    }

    /// The origin of work that the service starts itself.
    pub fn of_service(action: &str, resource_id: &str, cause: &str) -> Self {
        let correlation_id = uuid::Uuid::now_v7().to_string();
        Self {
            client_id: SERVICE.to_owned(),
            action: action.to_owned(),
            resource_id: resource_id.to_owned(),
            request_id: correlation_id.clone(),
            correlation_id,
            cause: Some(cause.to_owned()),
            ..Self::default()
        }
    }

    /// For the row of an operation.
    pub fn to_json(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }

    /// The origin of an operation, if it is known.
    pub fn from_row(row: &Operation) -> Option<Self> {
        serde_json::from_value(row.origin.clone()?).ok()
    }
}

/// An operation that a request starts.
#[derive(Debug, Clone)]
pub struct Started {
    /// The row to commit together with the request's changes.
    pub row: Operation,
    /// The URL to poll.
    url: String,
}

impl Started {
    /// A new operation of a provider in a region, polled at ARM's usual
    /// `…/providers/{namespace}/locations/{region}/operations/{id}`. `kind` selects the code that resumes it.
    pub fn in_region(
        call: &Call,
        namespace: &str,
        kind: &str,
        target: ResourceKey,
        region: &str,
    ) -> Self {
        let subscription = call.path.scope.subscription().unwrap_or_default();
        let row = begun(call, kind, target, subscription);
        let url = call.url(&format!(
            "/subscriptions/{subscription}/providers/{namespace}/locations/{region}/operations/{}?api-version={}",
            row.id, call.api_version
        ));
        Self { row, url }
    }

    /// A new operation that clients poll by `Location` alone, as with resource groups.
    pub fn location_only(call: &Call, kind: &str, target: ResourceKey) -> Self {
        let subscription = call.path.scope.subscription().unwrap_or_default();
        let row = begun(call, kind, target, subscription);
        let url = call.url(&format!(
            "/subscriptions/{subscription}/operationresults/{}?api-version={}",
            row.id, call.api_version
        ));
        Self { row, url }
    }

    /// Answer to PUT: 200 or 201 with the resource and `Azure-AsyncOperation`.
    pub fn put(&self, created: bool, body: Value) -> Reply {
        let status = if created { StatusCode::CREATED } else { StatusCode::OK };
        Reply::json(status, body)
            .header("azure-asyncoperation", &self.url)
            .header("retry-after", RETRY_AFTER)
    }

    /// Answer to PATCH, DELETE and run: 202 without a body, `Azure-AsyncOperation` and `Location`.
    pub fn accepted(&self) -> Reply {
        Reply::empty(StatusCode::ACCEPTED)
            .header("azure-asyncoperation", &self.url)
            .header("location", &self.url)
            .header("retry-after", RETRY_AFTER)
    }

    /// Answer to DELETE of a resource group: 202 and `Location`.
    pub fn located(&self) -> Reply {
        Reply::empty(StatusCode::ACCEPTED)
            .header("location", &self.url)
            .header("retry-after", RETRY_AFTER)
    }
}

/// The row of an operation that a request begins.
fn begun(call: &Call, kind: &str, target: ResourceKey, subscription: &str) -> Operation {
    let origin = Origin::of(call, call.action()).to_json();
    Operation { origin, ..new(kind, target, subscription) }
}

/// The row of a new operation.
pub fn new(kind: &str, target: ResourceKey, subscription: &str) -> Operation {
    Operation {
        id: uuid::Uuid::now_v7().to_string(),
        subscription: subscription.to_lowercase(),
        kind: kind.to_owned(),
        target,
        status: OperationStatus::InProgress,
        error: None,
        started: Timestamp::now(),
        ended: None,
        origin: None,
    }
}

/// The row of the operation after its end.
pub fn ended(mut row: Operation, result: Result<(), Value>) -> Operation {
    row.ended = Some(Timestamp::now());
    row.status = OperationStatus::Succeeded;
    if let Err(error) = result {
        row.status = OperationStatus::Failed;
        row.error = Some(error);
    }
    row
}

/// The status object, always with 200; with `Retry-After` while the operation runs.
pub fn status(row: &Operation) -> Reply {
    let mut body = json!({
        "name": row.id.to_uppercase(),
        "status": row.status,
        "startTime": row.started.to_string(),
    });
    if let Some(ended) = row.ended {
        body["endTime"] = json!(ended.to_string());
    }
    if let Some(error) = &row.error {
        body["error"] = error.clone();
    }
    let reply = Reply::ok(body);
    if row.status == OperationStatus::InProgress {
        return reply.header("retry-after", RETRY_AFTER);
    }
    reply
}

/// 404 for an unknown operation.
pub fn not_found(id: &str) -> ApiError {
    ApiError::absent("OperationNotFound", format!("The operation '{id}' could not be found."))
}
