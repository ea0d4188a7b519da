//! Events of operations, whoever writes them: their beginning and their end.

use std::sync::Arc;

use arm::operation::Origin;
use db::{Activity, Operation, OperationStatus, Record, Store, Write};
use http::StatusCode;

use super::event::{Status, Told, event};

/// Records what happens outside of requests.
#[derive(Debug)]
struct Background {
    tenant: String,
}

/// The store for work outside of requests.
pub(crate) fn background(store: &Store, tenant: &str) -> Store {
    store.recording(Arc::new(Background { tenant: tenant.to_owned() }))
}

impl Record for Background {
    fn events(&self, writes: &[Write]) -> Vec<Activity> {
        operations(&self.tenant, writes, None)
    }

    fn written(&self, _writes: &[Write]) {}
}

/// The events of the operations among the writes, except for the beginning of `own`.
pub(crate) fn operations(tenant: &str, writes: &[Write], own: Option<&str>) -> Vec<Activity> {
    let mut events = Vec::new();
    for write in writes {
        let Write::Operation(row) = write else { continue };
        let Some(origin) = Origin::from_row(row) else { continue };
        let mut add = |told| events.push(event(tenant, &origin, &row.id, told));
        if row.ended.is_some() {
            add(end(row));
        } else if own != Some(row.id.as_str()) {
            add(Told::new(Status::Started, None));
            add(Told::new(Status::Accepted, Some(StatusCode::ACCEPTED)));
        }
    }
    events
}

/// The operation that a commit begins.
pub(crate) fn begun(writes: &[Write]) -> Option<&Operation> {
    writes.iter().find_map(|write| match write {
        Write::Operation(row) if row.ended.is_none() => Some(row),
        _ => None,
    })
}

fn end(row: &Operation) -> Told {
    if row.status == OperationStatus::Succeeded {
        return Told::new(Status::Succeeded, Some(StatusCode::OK));
    }
    // Only the code: the message may repeat what a script wrote.
    let code = row.error.as_ref().and_then(|error| error["code"].as_str()).unwrap_or_default();
    Told::new(Status::Failed, Some(StatusCode::CONFLICT)).with("errorCode", code)
}
