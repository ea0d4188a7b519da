//! Writes role assignments.

use arm::{
    ApiError, Call, Extension, Reply,
    fields::{self, missing},
    is,
};
use db::{AssignmentSelect, Reach, RoleAssignment, Write};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use service::App;
use uuid::Uuid;

use super::view;
use crate::{definitions::Existing, place, principals};

/// Azure's limits: for a subscription with all that is in it, and for a scope above subscriptions.
const MOST: i64 = 4_000;
const MOST_ABOVE: u32 = 500;
const KIND: &str = "ServicePrincipal";
const KINDS: [&str; 5] = [KIND, "User", "Group", "ForeignGroup", "Device"];
const CONDITION_VERSION: &str = "2.0";
const TEXT_LIMIT: usize = 8 << 10;

/// What a request asks for.
struct Wanted {
    role: Existing,
    principal: String,
    kind: Option<String>,
    /// The fields that a later write can change.
    rest: Map<String, Value>,
}

pub(super) async fn put(
    app: &App,
    call: &Call,
    at: &Extension,
    name: &str,
    stored: Option<RoleAssignment>,
) -> Result<Reply, ApiError> {
    if Uuid::try_parse(name).is_err() || name.len() != 36 {
        return Err(ApiError::bad_request(
            "InvalidRoleAssignmentId",
            format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."),
        )
        .target("name"));
    }
    place::check(app, at).await?;
    let wanted = wanted(app, &fields::properties(&call.json()?)?).await?;
    match stored {
        Some(stored) => change(app, call, at, stored, wanted).await,
        None => create(app, call, at, name, wanted).await,
    }
}

/// PUT with the name of an existing assignment.
async fn change(
    app: &App,
    call: &Call,
    at: &Extension,
    stored: RoleAssignment,
    wanted: Wanted,
) -> Result<Reply, ApiError> {
    if stored.role != wanted.role.id || !is(&stored.principal, &wanted.principal) {
        return Err(ApiError::bad_request(
            "RoleAssignmentUpdateNotPermitted",
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
        ));
    }
    check_kind(&wanted)?;
    let own = |field: &str| place::field(&stored.body, field);
    if wanted.rest.iter().all(|(field, value)| own(field) == *value) {
        return Ok(Reply::ok(view(at, &stored)));
    }
    let mut row = stored;
    for (field, value) in wanted.rest {
        row.body[field] = value;
    }
    row.body["updatedBy"] = json!(call.caller.object_id);
    row.body["updatedOn"] = json!(place::time(Timestamp::now()));
    app.store().commit(vec![Write::ReplaceAssignment(row.clone())]).await?;
    Ok(Reply::ok(view(at, &row)))
}

async fn create(
    app: &App,
    call: &Call,
    at: &Extension,
    name: &str,
    wanted: Wanted,
) -> Result<Reply, ApiError> {
    check_principal(app, &wanted).await?;
    if !wanted.role.is_assignable_at(&at.scope) {
        return Err(ApiError::bad_request(
            "RoleAssignmentScopeNotAssignableToRoleDefinition",
            format!(
                "The scope '{}' is not one of the assignable scopes of the role definition '{}', nor below one. Add it to the role's assignableScopes first.",
                place::shown(&at.scope),
                wanted.role.id
            ),
        )
        .target("properties.roleDefinitionId"));
    }
    check_new(app, at, &wanted).await?;
    check_room(app, at).await?;
    let mut body = Value::Object(wanted.rest);
    body["scope"] = json!(at.scope);
    body["createdBy"] = json!(call.caller.object_id);
    body["updatedBy"] = json!(call.caller.object_id);
    let row = RoleAssignment {
        id: RoleAssignment::id_at(&at.scope, name),
        name: name.to_owned(),
        scope: at.scope.to_lowercase(),
        principal: wanted.principal,
        principal_type: KIND.to_owned(),
        role: wanted.role.id,
        body,
        revision: 0,
        created: Timestamp::now(),
    };
    // Of two that are made at the same time, the second is overtaken, and then finds the first.
    app.store().commit(vec![Write::InsertAssignment(row.clone())]).await?;
    let mut shown = view(at, &row);
    // As in Azure: only later answers name the creator.
    shown["properties"]["createdBy"] = Value::Null;
    Ok(Reply::json(StatusCode::CREATED, shown))
}

async fn wanted(app: &App, properties: &Map<String, Value>) -> Result<Wanted, ApiError> {
    let text = |field: &str| {
        let value = properties.get(field).and_then(Value::as_str);
        value.ok_or_else(|| missing(&format!("properties.{field}")))
    };
    let role = text("roleDefinitionId")?;
    let principal = text("principalId")?;
    let principal = Uuid::try_parse(principal).map_err(|_| {
        ApiError::bad_request(
            "InvalidPrincipalId",
            format!("A valid principal ID must be provided for role assignment; '{principal}' is not a GUID."),
        )
        .target("properties.principalId")
    })?;
    let path = "properties.principalType";
    let kind = fields::choice(properties, "principalType", path, &KINDS)?;
    let role = Existing::of(app, role)
        .await
        .map_err(|error| error.target("properties.roleDefinitionId"))?;
    Ok(Wanted { role, principal: principal.to_string(), kind, rest: rest(properties)? })
}

/// Condition and description.
fn rest(properties: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let mut rest = Map::new();
    for field in
        ["description", "condition", "conditionVersion", "delegatedManagedIdentityResourceId"]
    {
        let path = format!("properties.{field}");
        let value = match properties.get(field) {
            None | Some(Value::Null) => Value::Null,
            Some(Value::String(text)) if text.trim().is_empty() => Value::Null,
            Some(Value::String(text)) if text.len() > TEXT_LIMIT => {
                let why = format!("'{path}' has {} bytes; the limit is {TEXT_LIMIT}.", text.len());
                return Err(ApiError::bad_request("InvalidParameter", why).target(path));
            }
            Some(Value::String(text)) => json!(text),
            Some(other) => return Err(fields::invalid(&path, other, "it must be a string")),
        };
        rest.insert(field.to_owned(), value);
    }
    let version = rest["conditionVersion"].as_str();
    if !rest["condition"].is_null() && version != Some(CONDITION_VERSION) {
        let why = "a condition needs the version '2.0'";
        return Err(fields::invalid("properties.conditionVersion", &rest["conditionVersion"], why));
    }
    Ok(rest)
}

async fn check_principal(app: &App, wanted: &Wanted) -> Result<(), ApiError> {
    if principals::find(app, &wanted.principal).await?.is_none() {
        return Err(ApiError::bad_request(
            "PrincipalNotFound",
            format!(
                "Principal {} does not exist in the directory {}. Check that you have the correct principal ID: the object id of a service principal or the principal id of a managed identity. If you are creating this principal and then immediately assigning a role, try again.",
                wanted.principal.replace('-', ""),
                app.settings().tenant
            ),
        )
        .target("properties.principalId"));
    }
    check_kind(wanted)
}

/// Everybody here is a service principal.
fn check_kind(wanted: &Wanted) -> Result<(), ApiError> {
    match wanted.kind.as_deref() {
        None | Some(KIND) => Ok(()),
        Some(other) => Err(ApiError::bad_request(
            "UnmatchedPrincipalType",
            format!(
                "The PrincipalId '{}' has type '{KIND}', which is different from specified PrinciaplType '{other}'.",
                wanted.principal.replace('-', "")
            ),
        )
        .target("properties.principalType")),
    }
}

/// Checks that the principal does not have the role there already.
async fn check_new(app: &App, at: &Extension, wanted: &Wanted) -> Result<(), ApiError> {
    let own = app.store().assignments_of(&wanted.principal).await?;
    let scope = at.scope.to_lowercase();
    match own.iter().find(|row| row.scope == scope && row.role == wanted.role.id) {
        None => Ok(()),
        Some(existing) => Err(ApiError::conflict(
            "RoleAssignmentExists",
            format!(
                "The role assignment already exists. The ID of the existing role assignment is {}.",
                existing.name.replace('-', "")
            ),
        )),
    }
}

/// Checks that there are not too many.
async fn check_room(app: &App, at: &Extension) -> Result<(), ApiError> {
    let subscription = place::subscription_of(&at.scope);
    let (is_full, most) = if subscription.is_empty() {
        let (scope, reach) = (at.scope.clone(), Reach::At);
        let select =
            AssignmentSelect { scope, reach, limit: MOST_ABOVE, ..AssignmentSelect::default() };
        let page = app.store().assignments(&select).await?;
        (page.assignments.len() >= MOST_ABOVE as usize, i64::from(MOST_ABOVE))
    } else {
        (app.store().count_assignments(subscription).await? >= MOST, MOST)
    };
    if !is_full {
        return Ok(());
    }
    let whole = if subscription.is_empty() { place::shown(&at.scope) } else { subscription };
    Err(ApiError::bad_request(
        "RoleAssignmentLimitExceeded",
        format!(
            "No more role assignments can be created: '{whole}' has {most}. Delete those that are no longer needed."
        ),
    ))
}
