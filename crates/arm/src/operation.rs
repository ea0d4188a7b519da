//! Long-running operations: one way to start, answer, poll and end them.
//!
//! ```text
//! handler: Started::in_region ─ commit(resource change, operation InProgress) ─ 201/202 with poll URLs
//! task:    the work ─ commit(resource change, operation Succeeded | Failed)
//! restart: every operation InProgress is taken up again by its kind (`resume`)
//! ```
//!
//! The rules are those of ARM's asynchronous operations: PUT answers with the resource and `Azure-AsyncOperation`, what has
//! no resource to show answers 202 with `Location`, and the status names one of the terminal states at the end.
//!
//! The URL answers for as long as the row is there, also when the resource is gone.

use db::{Operation, OperationStatus, ResourceKey};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{ApiError, Call, Reply};

/// Seconds a client waits between two polls. Never 0: clients take that for 30.
const RETRY_AFTER: &str = "1";

/// An operation that begins with this request.
#[derive(Debug, Clone)]
pub struct Started {
    /// The row to commit together with what the request changes.
    pub row: Operation,
    /// Where to poll.
    url: String,
}

impl Started {
    /// A new operation of a provider in a region, polled where ARM's providers have their operations
    /// (`…/providers/{namespace}/locations/{region}/operations/{id}`). `kind` decides how it is resumed.
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

    /// A new operation whose result is polled by `Location` alone, as with resource groups.
    pub fn location_only(call: &Call, kind: &str, target: ResourceKey) -> Self {
        let subscription = call.path.scope.subscription().unwrap_or_default();
        let row = new(kind, target, subscription);
        let url = call.url(&format!(
            "/subscriptions/{subscription}/operationresults/{}?api-version={}",
            row.id, call.api_version
        ));
        Self { row, url }
    }

    /// 200 or 201 with the resource and `Azure-AsyncOperation` alone: PUT.
    pub fn put(&self, created: bool, body: Value) -> Reply {
        let status = if created { StatusCode::CREATED } else { StatusCode::OK };
        Reply::json(status, body)
            .header("azure-asyncoperation", &self.url)
            .header("retry-after", RETRY_AFTER)
    }

    /// 202, no body, `Azure-AsyncOperation` and `Location` of the same URL: PATCH, DELETE, run.
    pub fn accepted(&self) -> Reply {
        Reply::empty(StatusCode::ACCEPTED)
            .header("azure-asyncoperation", &self.url)
            .header("location", &self.url)
            .header("retry-after", RETRY_AFTER)
    }

    /// 202 and `Location` alone: DELETE of a resource group.
    pub fn located(&self) -> Reply {
        Reply::empty(StatusCode::ACCEPTED)
            .header("location", &self.url)
            .header("retry-after", RETRY_AFTER)
    }
}

/// A row of an operation that no client polls yet.
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
    }
}

/// The row as it is when the work is over.
pub fn ended(mut row: Operation, result: Result<(), Value>) -> Operation {
    row.ended = Some(Timestamp::now());
    row.status = OperationStatus::Succeeded;
    if let Err(error) = result {
        row.status = OperationStatus::Failed;
        row.error = Some(error);
    }
    row
}

/// The status object, always with 200; while it runs with `Retry-After`.
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

/// 404 for an operation of which nothing is known.
pub fn not_found(id: &str) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "OperationNotFound",
        format!("The operation '{id}' could not be found."),
    )
}
