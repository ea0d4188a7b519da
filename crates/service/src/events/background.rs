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

#[cfg(test)]
mod tests {
    use db::ResourceKey;

    use super::*;

    #[test]
    fn what_the_service_begins_by_itself_names_its_cause() {
        let id = "/subscriptions/s/resourceGroups/g/providers/A.B/c/t";
        let origin = Origin::of_service("A.B/c/run/action", id, "schedule");
        let row = arm::operation::new("run", ResourceKey::of(id), "s");
        let row = Operation { origin: origin.to_json(), ..row };
        let ended = arm::operation::ended(row.clone(), Ok(()));
        let background = Background { tenant: String::new() };
        let mut events = background.events(&[Write::Operation(row)]);
        events.extend(background.events(&[Write::Operation(ended)]));
        let statuses: Vec<&str> = events.iter().map(|event| event.status.as_str()).collect();
        assert_eq!(statuses, ["Started", "Accepted", "Succeeded"]);
        for event in events {
            assert_eq!(event.caller, "goldsmith");
            assert_eq!(event.body["properties"]["cause"], "schedule");
            assert_eq!(event.correlation, origin.correlation_id);
        }
    }

    #[test]
    fn failed_operation_shows_its_code_alone() {
        let row = arm::operation::new("run", ResourceKey::of("/subscriptions/s"), "s");
        let row = Operation { origin: Origin::default().to_json(), ..row };
        let error = serde_json::json!({ "code": "Broken", "message": "the script wrote a secret" });
        let ended = arm::operation::ended(row, Err(error));
        let events = operations("", &[Write::Operation(ended)], None);
        assert_eq!(events[0].body["properties"]["errorCode"], "Broken");
        assert!(!events[0].body.to_string().contains("secret"));
    }
}
