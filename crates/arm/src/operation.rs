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
use serde_json::{Value, json};

use crate::{ApiError, Call, Reply};

/// Seconds between two polls. Never 0, which clients read as 30.
const RETRY_AFTER: &str = "1";

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
        let row = new(kind, target, subscription);
        let url = call.url(&format!(
            "/subscriptions/{subscription}/providers/{namespace}/locations/{region}/operations/{}?api-version={}",
            row.id, call.api_version
        ));
        Self { row, url }
    }

    /// A new operation that clients poll by `Location` alone, as with resource groups.
    pub fn location_only(call: &Call, kind: &str, target: ResourceKey) -> Self {
        let subscription = call.path.scope.subscription().unwrap_or_default();
        let row = new(kind, target, subscription);
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
