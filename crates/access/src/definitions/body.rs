//! The properties of a role definition in a request.

use arm::{
    ApiError,
    fields::{self, missing},
    is,
};
use authorization::Pattern;
use serde_json::{Map, Value, json};

use crate::place;

const CUSTOM: &str = "CustomRole";

/// The lists of actions of a permission. PowerShell fails if one is missing.
const LISTS: [&str; 4] = ["actions", "notActions", "dataActions", "notDataActions"];

/// Azure's limits.
const NAME_LIMIT: usize = 512;
const SCOPE_LIMIT: usize = 2_048;

/// The properties of a role in the form that answers have. The role is assignable in these subscriptions.
pub(super) fn properties(
    given: &Map<String, Value>,
    subscriptions: &[String],
) -> Result<Value, ApiError> {
    let name = given.get("roleName").and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if name.is_empty() {
        return Err(missing("properties.roleName"));
    }
    if name.chars().count() > NAME_LIMIT {
        let why = format!("it has more than {NAME_LIMIT} characters");
        return Err(fields::invalid("properties.roleName", &json!(name), &why));
    }
    if given.get("type").and_then(Value::as_str).is_some_and(|kind| !is(kind, CUSTOM)) {
        return Err(fields::invalid("properties.type", &given["type"], "it must be CustomRole"));
    }
    let permissions = match given.get("permissions") {
        Some(Value::Array(all)) if !all.is_empty() => all,
        _ => return Err(missing("properties.permissions")),
    };
    let permissions: Result<Vec<Value>, ApiError> = permissions.iter().map(permission).collect();
    Ok(json!({
        "roleName": name,
        "type": CUSTOM,
        "description": given.get("description").and_then(Value::as_str).unwrap_or_default(),
        "assignableScopes": scopes(given.get("assignableScopes"), subscriptions)?,
        "permissions": permissions?,
    }))
}

/// A permission with all four lists.
fn permission(given: &Value) -> Result<Value, ApiError> {
    let mut permission = json!({});
    for list in LISTS {
        let path = format!("properties.permissions.{list}");
        let actions = match &given[list] {
            Value::Null => &Vec::new(),
            Value::Array(actions) => actions,
            other => return Err(fields::invalid(&path, other, "it must be a list of strings")),
        };
        for action in actions {
            check_action(&path, action)?;
        }
        permission[list] = json!(actions);
    }
    for field in ["condition", "conditionVersion"] {
        if let Some(text) = given[field].as_str() {
            permission[field] = json!(text);
        }
    }
    Ok(permission)
}

fn check_action(path: &str, action: &Value) -> Result<(), ApiError> {
    let Some(text) = action.as_str() else {
        return Err(fields::invalid(path, action, "an action is a string"));
    };
    Pattern::parse(text).map(|_| ()).map_err(|invalid| {
        ApiError::bad_request(
            "InvalidActionOrNotAction",
            format!(
                "'{text}' does not match any of the actions supported by the providers: {}.",
                invalid.why
            ),
        )
        .target(path)
    })
}

/// Where the role can be assigned: subscriptions, groups and resources, management groups.
fn scopes(given: Option<&Value>, subscriptions: &[String]) -> Result<Vec<String>, ApiError> {
    let path = "properties.assignableScopes";
    let Some(Value::Array(given)) = given.filter(|given| **given != json!([])) else {
        return Err(ApiError::bad_request(
            "MissingAssignableScopes",
            format!("'{path}' must have at least one scope, such as '/subscriptions/{{id}}'."),
        )
        .target(path));
    };
    if given.len() > SCOPE_LIMIT {
        let why = format!("'{path}' has {} scopes; the limit is {SCOPE_LIMIT}.", given.len());
        return Err(ApiError::bad_request("InvalidParameter", why).target(path));
    }
    given
        .iter()
        .map(|scope| match scope.as_str().filter(|text| is_assignable(text, subscriptions)) {
            Some(text) => Ok(text.trim_end_matches('/').to_owned()),
            None => Err(fields::invalid(
                path,
                scope,
                "it must be a subscription here, or a group or resource in one; '/' is for built-in roles",
            )),
        })
        .collect()
}

/// Whether a scope is in one of these subscriptions, or is a management group.
fn is_assignable(scope: &str, subscriptions: &[String]) -> bool {
    const GROUPS: &str = "/providers/Microsoft.Management/managementGroups/";
    let own = place::subscription_of(scope).rsplit('/').next().unwrap_or_default();
    let is_group = scope.get(..GROUPS.len()).is_some_and(|start| is(start, GROUPS));
    is_group || subscriptions.iter().any(|known| is(known, own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Value)) -> Result<Value, ApiError> {
        let mut given = json!({
            "roleName": "Image author", "type": "CustomRole",
            "permissions": [{ "actions": ["Microsoft.Compute/images/*"] }],
            "assignableScopes": ["/subscriptions/S/resourceGroups/rg/"],
        });
        change(&mut given);
        properties(given.as_object().unwrap(), &["s".to_owned(), "t".to_owned()])
    }

    #[test]
    fn permission_has_all_four_lists() {
        let made = check(|_| {}).unwrap();
        assert_eq!(
            made["permissions"],
            json!([{
                "actions": ["Microsoft.Compute/images/*"], "notActions": [], "dataActions": [],
                "notDataActions": [],
            }])
        );
        assert_eq!(made["assignableScopes"], json!(["/subscriptions/S/resourceGroups/rg"]));
    }

    #[test]
    fn incomplete_role_is_rejected_with_its_field() {
        for (field, value, code) in [
            ("roleName", json!(" "), "InvalidParameter"),
            ("roleName", json!("x".repeat(513)), "InvalidParameter"),
            ("type", json!("BuiltInRole"), "InvalidParameter"),
            ("permissions", json!([]), "InvalidParameter"),
            ("permissions", json!([{ "actions": ["read"] }]), "InvalidActionOrNotAction"),
            ("permissions", json!([{ "notActions": ["a/b c"] }]), "InvalidActionOrNotAction"),
            ("permissions", json!([{ "dataActions": "*" }]), "InvalidParameter"),
            ("permissions", json!([{ "actions": [1] }]), "InvalidParameter"),
            ("assignableScopes", json!([]), "MissingAssignableScopes"),
            ("assignableScopes", json!(["/"]), "InvalidParameter"),
            ("assignableScopes", json!(["/subscriptions/other"]), "InvalidParameter"),
            ("assignableScopes", json!(vec!["/subscriptions/s"; 2_049]), "InvalidParameter"),
        ] {
            let error = check(|given| given[field] = value.clone()).unwrap_err();
            assert_eq!(error.code, code, "{field}: {}", error.message);
            assert!(error.target.unwrap().starts_with(&format!("properties.{field}")));
        }
        let both = json!(["/subscriptions/s", "/Subscriptions/T/resourceGroups/g"]);
        check(|given| given["assignableScopes"] = both).unwrap();
    }
}
