//! What responses show of a deployment.

use std::collections::BTreeMap;

use arm_template::{Plan, Resource};
use serde_json::{Value, json};

use crate::{
    load::Draft,
    place::{Place, TYPE},
    time,
};

/// The `properties` of a new deployment.
pub(crate) fn properties(draft: &Draft, plan: &Plan, hash: &str) -> Value {
    let request = &draft.request;
    let mut properties = json!({
        "templateHash": hash,
        "parameters": parameters(plan),
        "mode": request.mode.name(),
        "provisioningState": "Accepted",
        "timestamp": time::instant(draft.now),
        "duration": "PT0S",
        "providers": namespaces(plan),
        "dependencies": dependencies(plan),
    });
    if let Some(link) = &request.template_link {
        properties["templateLink"] = link.clone();
    }
    if let Some(link) = &request.parameters_link {
        properties["parametersLink"] = link.clone();
    }
    if let Some(on_error) = &request.on_error {
        properties["onErrorDeployment"] = on_error.view();
    }
    if request.debug.requests || request.debug.responses {
        let mut words = Vec::new();
        if request.debug.requests {
            words.push("RequestContent");
        }
        if request.debug.responses {
            words.push("ResponseContent");
        }
        properties["debugSetting"] = json!({ "detailLevel": words.join(", ") });
    }
    properties
}

/// The answer to a validation without mistakes.
pub(crate) fn validated(place: &Place, name: &str, draft: &Draft, correlation_id: &str) -> Value {
    let mut properties = properties(draft, &draft.plan, &draft.hash);
    properties["provisioningState"] = json!("Succeeded");
    properties["correlationId"] = json!(correlation_id);
    let made = draft.plan.resources().iter().filter(|one| one.condition && !one.existing);
    properties["validatedResources"] = made.map(|one| json!({ "id": &*one.id })).collect();
    let mut body = json!({
        "id": place.deployment(name), "name": name, "type": TYPE, "properties": properties,
    });
    if let Some(location) = &draft.request.location {
        body["location"] = json!(location);
    }
    body
}

/// All parameters with their values, defaults included; a secure one without.
pub(crate) fn parameters(plan: &Plan) -> Value {
    let mut all = serde_json::Map::new();
    for parameter in plan.parameters() {
        let mut entry = json!({ "type": parameter.type_name });
        if let Some(value) = &parameter.value {
            entry["value"] = Value::from(value);
        }
        all.insert(parameter.name.to_string(), entry);
    }
    Value::Object(all)
}

/// The namespaces and types of the template.
fn namespaces(plan: &Plan) -> Value {
    let mut all: BTreeMap<String, (String, BTreeMap<String, Value>)> = BTreeMap::new();
    for resource in plan.resources().iter().filter(|one| one.condition) {
        let Some((namespace, types)) = resource.resource_type.split_once('/') else { continue };
        let (_, own) = all
            .entry(namespace.to_lowercase())
            .or_insert_with(|| (namespace.to_owned(), BTreeMap::new()));
        own.entry(types.to_lowercase())
            .or_insert_with(|| json!({ "resourceType": types, "locations": [null] }));
    }
    let entry = |(namespace, types): (String, BTreeMap<String, Value>)| json!({ "namespace": namespace, "resourceTypes": types.into_values().collect::<Vec<_>>() });
    all.into_values().map(entry).collect()
}

/// The resources that depend on others.
fn dependencies(plan: &Plan) -> Value {
    let all = plan.resources();
    let entries = all.iter().filter(|one| one.condition && !one.depends_on.is_empty());
    let of = |one: &Resource| {
        let on: Vec<Value> =
            one.depends_on.iter().filter_map(|index| all.get(*index)).map(target).collect();
        let mut entry = target(one);
        entry["dependsOn"] = Value::Array(on);
        entry
    };
    entries.map(of).collect()
}

/// A resource as operations and dependencies name it.
pub(crate) fn target(resource: &Resource) -> Value {
    json!({
        "id": &*resource.id,
        "resourceType": &*resource.resource_type,
        "resourceName": &*resource.name,
    })
}

/// The target of an operation.
pub(crate) fn operation_target(resource: &Resource) -> Value {
    let mut target = target(resource);
    target["apiVersion"] = json!(&*resource.api_version);
    if let Some(symbol) = &resource.symbol {
        target["symbolicName"] = json!(&**symbol);
    }
    target
}
