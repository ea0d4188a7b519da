//! `providerOperations`: every action that roles can permit, by namespace and type.

use std::collections::BTreeMap;

use arm::{ApiError, Call, Extension, Method, Reply, is};
use serde_json::{Value, json};

use crate::{PROVIDER_OPERATIONS, place::check_depth};

/// An action, and whether it is about data.
#[derive(Clone, Copy)]
struct Operation {
    name: &'static str,
    is_data: bool,
}

/// `/providers/Microsoft.Authorization/providerOperations[/{namespace}]`, of these actions and data actions. With
/// `$expand=resourceTypes`, the actions of each type too.
///
/// # Errors
/// `ProviderNotFound`, `InvalidResourceType`, `HttpMethodNotAllowed`.
pub fn provider_operations(
    call: &Call,
    at: &Extension,
    actions: &[&'static str],
    data: &[&'static str],
) -> Result<Reply, ApiError> {
    call.only(&[Method::Get])?;
    check_depth(call, at)?;
    let expand = call.query.get("$expand").is_some_and(|text| is(text.trim(), "resourceTypes"));
    let by_namespace = grouped(actions, data);
    let Some(wanted) = at.rest.get(1) else {
        let value: Vec<Value> =
            by_namespace.iter().map(|(name, all)| namespace(name, all, expand)).collect();
        return Ok(Reply::ok(json!({ "value": value })));
    };
    match by_namespace.iter().find(|(name, _)| is(name, wanted)) {
        Some((name, all)) => Ok(Reply::ok(namespace(name, all, expand))),
        None => {
            let known: Vec<&str> = by_namespace.keys().copied().collect();
            Err(ApiError::absent(
                "ProviderNotFound",
                format!(
                    "The provider '{wanted}' is not found. The providers are {}.",
                    known.join(", ")
                ),
            ))
        }
    }
}

/// The operations by namespace, then by type; the type of those of the namespace itself is empty.
type ByType = BTreeMap<&'static str, Vec<Operation>>;

fn grouped(actions: &[&'static str], data: &[&'static str]) -> BTreeMap<&'static str, ByType> {
    let mut all = BTreeMap::<&str, ByType>::new();
    let actions = actions.iter().map(|name| Operation { name, is_data: false });
    for operation in actions.chain(data.iter().map(|name| Operation { name, is_data: true })) {
        let Some((namespace, kind, _)) = parts(operation.name) else { continue };
        let of_type = all.entry(namespace).or_default().entry(kind).or_default();
        if !of_type.iter().any(|known| known.name == operation.name) {
            of_type.push(operation);
        }
    }
    all
}

/// Namespace, type and verb: `Microsoft.Storage`, `storageAccounts`, `listKeys`.
fn parts(action: &'static str) -> Option<(&'static str, &'static str, &'static str)> {
    let (namespace, rest) = action.split_once('/')?;
    let rest = rest.strip_suffix("/action").unwrap_or(rest);
    let (kind, verb) = rest.rsplit_once('/').unwrap_or(("", rest));
    Some((namespace, kind, verb))
}

fn namespace(name: &str, all: &ByType, expand: bool) -> Value {
    let of = |kind: &str| -> Vec<Value> {
        all.get(kind).into_iter().flatten().map(|one| view(*one)).collect()
    };
    let kinds: Vec<Value> = all
        .keys()
        .filter(|kind| expand && !kind.is_empty())
        .map(|kind| json!({ "name": kind, "displayName": kind, "operations": of(kind) }))
        .collect();
    json!({
        "id": format!("/providers/{}/{name}", PROVIDER_OPERATIONS.kind),
        "type": PROVIDER_OPERATIONS.kind,
        "name": name,
        "displayName": name.replace('.', " "),
        "resourceTypes": kinds,
        "operations": of(""),
    })
}

fn view(operation: Operation) -> Value {
    let (namespace, kind, verb) = parts(operation.name).unwrap_or_default();
    let what = if kind.is_empty() { namespace } else { kind };
    let text = match verb {
        "read" => format!("Get or list {what}"),
        "write" => format!("Create or update {what}"),
        "delete" => format!("Delete {what}"),
        verb => format!("Perform {verb} on {what}"),
    };
    json!({
        "name": operation.name,
        "displayName": text,
        "description": text,
        "origin": "user,system",
        "isDataAction": operation.is_data,
        "properties": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn action_is_split_into_namespace_type_and_verb() {
        for (action, wanted) in [
            ("Microsoft.A/b/c/read", ("Microsoft.A", "b/c", "read")),
            ("Microsoft.A/b/listKeys/action", ("Microsoft.A", "b", "listKeys")),
            ("Microsoft.A/register/action", ("Microsoft.A", "", "register")),
        ] {
            assert_eq!(parts(action).unwrap(), wanted, "{action}");
        }
    }

    #[test]
    fn types_of_a_namespace_are_shown_only_if_expanded() {
        let all = grouped(
            &["Microsoft.A/b/read", "Microsoft.A/b/read", "Microsoft.A/register/action"],
            &["Microsoft.A/b/blobs/read"],
        );
        let full = namespace("Microsoft.A", &all["Microsoft.A"], true);
        assert_eq!(full["operations"][0]["name"], "Microsoft.A/register/action");
        assert_eq!(full["resourceTypes"][0]["operations"].as_array().unwrap().len(), 1);
        assert_eq!(full["resourceTypes"][1]["operations"][0]["isDataAction"], true);
        let short = namespace("Microsoft.A", &all["Microsoft.A"], false);
        assert_eq!(short["resourceTypes"], json!([]));
    }
}
