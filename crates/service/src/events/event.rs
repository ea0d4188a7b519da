//! Events in the form of Azure's activity log.

use arm::{Path, operation::Origin};
use db::Activity;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Ticks of 100 ns from the year 1 to 1970.
const TICKS_TO_1970: i128 = 621_355_968_000_000_000;

/// How far something got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Started,
    Accepted,
    Succeeded,
    Failed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::Accepted => "Accepted",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// What an event tells beside its origin.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: Status,
    /// The status of the answer; of a beginning there is none.
    pub(crate) http: Option<StatusCode>,
    /// Further properties.
    pub(crate) properties: Map<String, Value>,
}

impl Told {
    pub(crate) fn new(status: Status, http: Option<StatusCode>) -> Self {
        Self { status, http, properties: Map::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.properties.insert(name.to_owned(), value.into());
        self
    }
}

/// The type that an action is about: `Microsoft.Compute/images` of `Microsoft.Compute/images/write`.
pub fn type_of(action: &str) -> &str {
    let whole = action.rsplit_once('/');
    let whole = match whole {
        Some((verb, last)) if last.eq_ignore_ascii_case("action") => verb.rsplit_once('/'),
        other => other,
    };
    whole.map_or(action, |(kind, _)| kind)
}

/// An event. `operation` joins the events of one attempt.
pub(crate) fn event(tenant: &str, origin: &Origin, operation: &str, told: Told) -> Activity {
    let (id, time) = (Uuid::now_v7().to_string(), Timestamp::now());
    // An id is not percent-encoded.
    let path = Path::parse(&origin.resource_id.replace('%', "%25"));
    let kind = type_of(&origin.action);
    let provider = kind.split('/').next().unwrap_or_default();
    let subscription = path.scope.subscription().unwrap_or_default();
    let group = path.scope.group().unwrap_or_default();
    let at = format!("{time:.7}");
    let ticks = time.as_nanosecond() / 100 + TICKS_TO_1970;
    let (name, level) = match told.status {
        Status::Started => ("BeginRequest", "Informational"),
        Status::Accepted | Status::Succeeded => ("EndRequest", "Informational"),
        Status::Failed => ("EndRequest", "Error"),
    };
    let mut properties = told.properties;
    let (reason, shown) = told.http.map(reason).unwrap_or_default();
    if !reason.is_empty() {
        properties.insert("statusCode".to_owned(), json!(reason));
    }
    properties.insert("serviceRequestId".to_owned(), json!(origin.request_id));
    if let Some(cause) = &origin.cause {
        properties.insert("cause".to_owned(), json!(cause));
    }
    let body = json!({
        "authorization": { "action": origin.action, "scope": origin.resource_id },
        "caller": origin.client_id,
        "channels": "Operation",
        "claims": claims(tenant, origin),
        "correlationId": origin.correlation_id,
        "description": "",
        "eventDataId": id,
        "eventName": both(name),
        "category": both("Administrative"),
        "eventTimestamp": at,
        "submissionTimestamp": at,
        "httpRequest": {
            "clientRequestId": origin.client_request_id.as_ref().unwrap_or(&origin.request_id),
            "clientIpAddress": origin.client_address,
            "method": origin.method,
        },
        "id": format!("{}/events/{id}/ticks/{ticks}", origin.resource_id),
        "level": level,
        "operationId": operation,
        "operationName": both(&origin.action),
        "resourceGroupName": group,
        "resourceProviderName": both(provider),
        "resourceType": both(kind),
        "resourceId": origin.resource_id,
        "status": both(told.status.name()),
        "subStatus": { "value": reason, "localizedValue": shown },
        "properties": properties,
        "subscriptionId": subscription,
        "tenantId": tenant,
    });
    Activity {
        seq: 0,
        id,
        subscription: subscription.to_owned(),
        time,
        group: group.to_owned(),
        resource: origin.resource_id.clone(),
        provider: provider.to_owned(),
        correlation: origin.correlation_id.clone(),
        operation: origin.action.clone(),
        caller: origin.client_id.clone(),
        status: told.status.name().to_owned(),
        body,
    }
}

/// Who it was, as the token says. What the service does by itself needs no token.
fn claims(tenant: &str, origin: &Origin) -> Value {
    match origin.object_id.is_empty() {
        true => json!({}),
        false => json!({ "appid": origin.client_id, "oid": origin.object_id, "tid": tenant }),
    }
}

fn both(text: &str) -> Value {
    json!({ "value": text, "localizedValue": text })
}

/// `Created`, and `Created (HTTP Status Code: 201)`.
fn reason(status: StatusCode) -> (String, String) {
    let name: String = match status.canonical_reason() {
        Some(text) => text.split(' ').collect(),
        None => status.as_str().to_owned(),
    };
    let shown = format!("{name} (HTTP Status Code: {})", status.as_u16());
    (name, shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_is_the_action_without_its_verb() {
        for (action, kind) in [
            ("Microsoft.Compute/images/write", "Microsoft.Compute/images"),
            ("A.B/types/run/action", "A.B/types"),
            ("A.B/register/Action", "A.B"),
            ("", ""),
        ] {
            assert_eq!(type_of(action), kind, "{action}");
        }
    }

    #[test]
    fn reason_is_one_word_with_the_number_beside() {
        let shown = "NotFound (HTTP Status Code: 404)".to_owned();
        assert_eq!(reason(StatusCode::NOT_FOUND), ("NotFound".to_owned(), shown));
    }

    #[test]
    fn id_ends_with_the_ticks_of_its_time() {
        let origin = Origin { resource_id: "/subscriptions/S".to_owned(), ..Origin::default() };
        let event = event("t", &origin, "o", Told::new(Status::Started, None));
        let ticks = event.body["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let ticks: i128 = ticks.parse().unwrap();
        assert_eq!(ticks - TICKS_TO_1970, event.time.as_nanosecond() / 100);
    }
}
