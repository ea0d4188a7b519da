//! What the caller itself may do, and deny assignments.

use arm::{ApiError, Call, Extension, Method, Reply};
use authorization::{Grant, Pattern, Permission, Scope};
use serde_json::{Value, json};
use service::App;

use crate::place::check_depth;

/// `{scope}/providers/Microsoft.Authorization/permissions`: the caller's own, one entry per permission of each role that
/// it has at the scope and above it.
///
/// # Errors
/// `InvalidResourceType`, `HttpMethodNotAllowed`.
pub async fn permissions(_app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    call.only(&[Method::Get])?;
    if at.rest.len() > 1 {
        return Err(ApiError::absent(
            "InvalidResourceType",
            format!("There is nothing at '{}': permissions are a list.", call.path.text),
        ));
    }
    let scope = Scope::parse(&at.scope);
    let value: Vec<Value> = call.rights().grants(&scope).flat_map(of_grant).collect();
    Ok(Reply::ok(json!({ "value": value })))
}

fn of_grant(grant: &Grant) -> Vec<Value> {
    let entry = |permission: &Permission| {
        let mut entry = view(permission);
        let conditions = [&grant.condition, &permission.condition].into_iter().flatten();
        let texts: Vec<&str> = conditions.map(|one| one.text()).collect();
        let condition = match texts.as_slice() {
            [] => None,
            [one] => Some((*one).to_owned()),
            both => Some(format!("({})", both.join(") AND ("))),
        };
        if let Some(condition) = condition {
            entry["condition"] = json!(condition);
            entry["conditionVersion"] = json!("2.0");
        }
        entry
    };
    grant.role.permissions.iter().map(entry).collect()
}

fn view(permission: &Permission) -> Value {
    let texts = |patterns: &[Pattern]| -> Vec<Value> {
        patterns.iter().map(|pattern| json!(pattern.text())).collect()
    };
    json!({
        "actions": texts(&permission.actions),
        "notActions": texts(&permission.not_actions),
        "dataActions": texts(&permission.data_actions),
        "notDataActions": texts(&permission.not_data_actions),
    })
}

/// `{scope}/providers/Microsoft.Authorization/denyAssignments[/{id}]`: always empty. In Azure, only managed applications
/// and deployment stacks create deny assignments.
///
/// # Errors
/// `DenyAssignmentNotFound`, `InvalidResourceType`, `HttpMethodNotAllowed`.
pub async fn deny_assignments(_app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    call.only(&[Method::Get])?;
    check_depth(call, at)?;
    match at.rest.get(1) {
        None => Ok(Reply::ok(json!({ "value": [] }))),
        Some(name) => Err(ApiError::absent(
            "DenyAssignmentNotFound",
            format!("The deny assignment '{name}' is not found."),
        )),
    }
}
