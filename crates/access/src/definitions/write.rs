//! Writes and deletes role definitions.

use arm::{ApiError, Call, Extension, Reply, fields};
use authorization::built_in;
use db::{RoleDefinition, Write};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::App;

use super::{body, is_near, scopes, view};
use crate::{DEFINITIONS, place};

/// Azure's limit for the roles of clients in a tenant.
const MOST: usize = 5_000;
/// How many assignments the refusal of a deletion names.
const NAMED: u32 = 3;

pub(super) async fn put(
    app: &App,
    call: &Call,
    at: &Extension,
    name: &str,
    stored: Option<RoleDefinition>,
) -> Result<Reply, ApiError> {
    place::check(app, at).await?;
    let id = uuid::Uuid::try_parse(name).ok().filter(|_| name.len() == 36).ok_or_else(|| {
        ApiError::bad_request(
            "InvalidRoleDefinitionId",
            format!("The role definition ID '{name}' is not valid. The role definition ID must be a GUID."),
        )
        .target("name")
    })?;
    let id = id.to_string();
    if stored.as_ref().is_some_and(|old| !is_near(old, at)) {
        return Err(ApiError::conflict(
            "RoleDefinitionIdInUse",
            format!("Another role definition has the ID '{id}'. Choose another GUID."),
        )
        .target("name"));
    }
    let given = fields::properties(&call.json()?)?;
    let known = app.subscriptions().await?;
    let known: Vec<String> = known.iter().map(|one| one.id.clone()).collect();
    let mut properties = body::properties(&given, &known)?;
    check_scopes(call, at, DEFINITIONS.write, &properties)?;
    if let Some(old) = &stored {
        check_scopes(call, at, DEFINITIONS.write, &old.body)?;
    }
    let role_name = properties["roleName"].as_str().unwrap_or_default().to_owned();
    check_room(app, &id, &role_name).await?;
    let now = Timestamp::now();
    let created_by = stored.as_ref().map(|old| place::field(&old.body, "createdBy"));
    properties["createdBy"] = created_by.unwrap_or_else(|| json!(call.caller.object_id));
    properties["updatedBy"] = json!(call.caller.object_id);
    let role = RoleDefinition {
        id,
        name: role_name,
        body: properties,
        revision: stored.as_ref().map_or(0, |old| old.revision),
        created: stored.as_ref().map_or(now, |old| old.created),
        changed: now,
    };
    app.store().commit(vec![Write::PutRole(role.clone())]).await?;
    // For changes, too: Azure's clients take no other status.
    Ok(Reply::json(StatusCode::CREATED, view(at, &role)))
}

/// Checks that the caller may do this at all assignable scopes.
fn check_scopes(
    call: &Call,
    at: &Extension,
    action: &'static str,
    body: &Value,
) -> Result<(), ApiError> {
    let scopes = body["assignableScopes"].as_array().into_iter().flatten();
    let scopes: Vec<String> = scopes.filter_map(Value::as_str).map(str::to_owned).collect();
    place::check_linked(call, at, action, &scopes)
}

/// Checks that no other role has the name, and that there are not too many.
async fn check_room(app: &App, id: &str, name: &str) -> Result<(), ApiError> {
    let mut others = app.store().role_definitions().await?;
    others.retain(|one| one.id != id);
    let is_taken = others.iter().any(|one| one.name.to_lowercase() == name.to_lowercase());
    if is_taken || built_in::named(name).is_some() {
        return Err(ApiError::conflict(
            "RoleDefinitionWithSameNameExists",
            format!(
                "A role definition with the name '{name}' already exists. Choose another name."
            ),
        )
        .target("properties.roleName"));
    }
    if others.len() >= MOST {
        return Err(ApiError::bad_request(
            "RoleDefinitionLimitExceeded",
            format!("The limit of {MOST} custom role definitions is reached. Delete some first."),
        ));
    }
    Ok(())
}

pub(super) async fn delete(
    app: &App,
    call: &Call,
    at: &Extension,
    stored: RoleDefinition,
) -> Result<Reply, ApiError> {
    let own: Vec<String> = scopes(&stored).map(str::to_owned).collect();
    place::check_linked(call, at, DEFINITIONS.delete, &own)?;
    let assigned = app.store().assignments_of_role(&stored.id, NAMED).await?;
    if !assigned.is_empty() {
        let ids: Vec<&str> = assigned.iter().map(|one| one.id.as_str()).collect();
        return Err(ApiError::bad_request(
            "RoleDefinitionHasAssignments",
            format!(
                "There are existing role assignments referencing role (code: RoleDefinitionHasAssignments). Delete the assignments of '{}' first, such as {}.",
                stored.name,
                ids.join(", ")
            ),
        ));
    }
    let remove = Write::RemoveRole(stored.id.clone(), stored.revision);
    app.store().commit(vec![remove]).await?;
    Ok(Reply::ok(view(at, &stored)))
}
