//! Role assignments: a role that a principal has at a scope and below it.

mod list;
mod owner;
mod write;

use arm::{ApiError, Call, Extension, Method, Reply};
use db::{ResourceKey, RoleAssignment, Write};
use http::StatusCode;
use serde_json::{Value, json};
use service::App;

use crate::{
    ASSIGNMENTS,
    place::{self, check_depth, field},
};

pub use owner::check_owner_stays;

/// `{scope}/providers/Microsoft.Authorization/roleAssignments[/{guid}]`
///
/// # Errors
/// Those of the request; `RoleAssignmentNotFound`.
pub async fn assignments(app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    check_depth(call, at)?;
    let Some(name) = at.rest.get(1) else {
        call.only(&[Method::Get])?;
        place::check(app, at).await?;
        return list::list(app, call, at).await;
    };
    call.only(&[Method::Get, Method::Head, Method::Put, Method::Delete])?;
    let key = ResourceKey::of(&RoleAssignment::id_at(&at.scope, name));
    let stored = app.store().assignment(&key).await?;
    match (call.method, stored) {
        (Method::Put, stored) => write::put(app, call, at, name, stored).await,
        (Method::Delete, None) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (Method::Delete, Some(stored)) => {
            owner::check_other(app, &stored).await?;
            app.store().commit(vec![Write::RemoveAssignment(key, stored.revision)]).await?;
            Ok(Reply::ok(view(at, &stored)))
        }
        (Method::Head, Some(_)) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (Method::Head, None) => Ok(Reply::empty(StatusCode::NOT_FOUND)),
        (_, Some(stored)) => Ok(Reply::ok(view(at, &stored))),
        (_, None) => Err(ApiError::absent(
            "RoleAssignmentNotFound",
            format!("The role assignment '{name}' is not found."),
        )),
    }
}

fn view(at: &Extension, row: &RoleAssignment) -> Value {
    let scope = row.body["scope"].as_str().unwrap_or(&row.scope);
    let created = json!(place::time(row.created));
    let updated = row.body["updatedOn"].as_str().map_or_else(|| created.clone(), Value::from);
    json!({
        "properties": {
            "roleDefinitionId": place::definition_id(at, &row.role),
            "principalId": row.principal,
            "principalType": row.principal_type,
            "scope": place::shown(scope),
            "condition": field(&row.body, "condition"),
            "conditionVersion": field(&row.body, "conditionVersion"),
            "createdOn": created,
            "updatedOn": updated,
            "createdBy": field(&row.body, "createdBy"),
            "updatedBy": field(&row.body, "updatedBy"),
            "delegatedManagedIdentityResourceId":
                field(&row.body, "delegatedManagedIdentityResourceId"),
            "description": field(&row.body, "description"),
        },
        "id": row.id,
        "type": ASSIGNMENTS.kind,
        "name": row.name,
    })
}
