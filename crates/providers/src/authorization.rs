//! Microsoft.Authorization: role definitions and role assignments, at any scope.
//!
//! The service stores assignments and answers as Azure does, but does not enforce them yet: every
//! service principal may do everything.

mod roles;

use arm::{
    ApiError, Call, Extension, Filter, Method, Reply,
    fields::{self, missing},
    rows,
};
use db::{CLAIM, Resource, ResourceKey, Write};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::App;

pub use roles::{definitions, role_named};

const ASSIGNMENT: &str = "Microsoft.Authorization/roleAssignments";

/// `{scope}/providers/Microsoft.Authorization/roleAssignments[/{guid}]`
pub async fn assignments(app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    at.check_scope(app.context()).await?;
    let Some(name) = at.rest.get(1) else {
        return match call.method {
            Method::Get => list(app, call, at).await,
            _ => Err(ApiError::method_not_allowed(call)),
        };
    };
    let id = format!("{}/providers/{ASSIGNMENT}/{name}", at.scope);
    let key = ResourceKey::of(&id);
    let stored = app.store().resource(&key).await?;
    let view = |one: &Resource| rows::view(ASSIGNMENT, one);
    match (call.method, stored) {
        (Method::Put, stored) => put(app, call, at, id, stored).await,
        (Method::Delete, None) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (Method::Delete, Some(stored)) => {
            app.store().commit(vec![Write::Remove(key, stored.revision)]).await?;
            Ok(Reply::ok(view(&stored)))
        }
        (Method::Get, Some(stored)) => Ok(Reply::ok(view(&stored))),
        (Method::Head, Some(_)) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (Method::Head, None) => Ok(Reply::empty(StatusCode::NOT_FOUND)),
        (Method::Get, None) => Err(ApiError::absent(
            "RoleAssignmentNotFound",
            format!("The role assignment '{name}' is not found."),
        )),
        (Method::Patch | Method::Post, _) => Err(ApiError::method_not_allowed(call)),
    }
}

async fn put(
    app: &App,
    call: &Call,
    at: &Extension,
    id: String,
    stored: Option<Resource>,
) -> Result<Reply, ApiError> {
    let name = at.rest.get(1).map(String::as_str).unwrap_or_default();
    if uuid::Uuid::try_parse(name).is_err() {
        return Err(ApiError::bad_request(
            "InvalidRoleAssignmentId",
            format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."),
        )
        .target("name"));
    }
    let object = call.json()?;
    let (role, principal, kind) = wanted(app, &object).await?;
    let same = |one: &Resource| {
        let own = &one.body["properties"];
        own["roleDefinitionId"] == json!(role) && own["principalId"] == json!(principal)
    };
    if let Some(stored) = stored {
        if same(&stored) {
            return Ok(Reply::ok(rows::view(ASSIGNMENT, &stored)));
        }
        return Err(ApiError::conflict(
            "RoleAssignmentUpdateNotPermitted",
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
        ));
    }
    let others = rows::of_kind(app.context(), ASSIGNMENT).await?;
    let scope_is = |one: &&Resource| {
        one.body["properties"]["scope"]
            .as_str()
            .is_some_and(|own| own.eq_ignore_ascii_case(&at.scope))
    };
    if let Some(other) = others.iter().filter(scope_is).find(|one| same(one)) {
        return Err(ApiError::conflict(
            "RoleAssignmentExists",
            format!(
                "The role assignment already exists. The ID of the conflicting role assignment is {}.",
                other.name
            ),
        ));
    }
    let now = Timestamp::now();
    let body = json!({ "properties": {
        "roleDefinitionId": role,
        "principalId": principal,
        "principalType": kind,
        "scope": at.scope,
        "condition": null,
        "conditionVersion": null,
        "createdOn": now.to_string(),
        "updatedOn": now.to_string(),
        "createdBy": null,
        "updatedBy": call.caller.object_id,
        "delegatedManagedIdentityResourceId": null,
        "description": object.get("properties").map(|own| own["description"].clone()),
    } });
    // Of two that are made at the same time, the second is refused.
    let claim = format!("{} {role} {principal}", at.scope).to_lowercase();
    let row = Resource {
        subscription: app.settings().subscription.to_lowercase(),
        ..Resource::new(id, ASSIGNMENT, body, json!({ CLAIM: claim }))
    };
    app.store().commit(vec![Write::Insert(row.clone())]).await?;
    Ok(Reply::json(StatusCode::CREATED, rows::view(ASSIGNMENT, &row)))
}

/// Role (canonical id), principal and its kind.
async fn wanted(
    app: &App,
    object: &serde_json::Map<String, Value>,
) -> Result<(String, String, String), ApiError> {
    let properties = fields::properties(object)?;
    let text = |field: &str| {
        let value = properties.get(field).and_then(Value::as_str);
        value.ok_or_else(|| missing(&format!("properties.{field}")))
    };
    let role_id = text("roleDefinitionId")?;
    let role = roles::existing(app, role_id)
        .await
        .map_err(|error| error.target("properties.roleDefinitionId"))?;
    let principal = text("principalId")?;
    if uuid::Uuid::try_parse(principal).is_err() {
        return Err(ApiError::bad_request(
            "InvalidPrincipalId",
            format!("A valid principal ID must be provided for role assignment; '{principal}' is not a GUID."),
        )
        .target("properties.principalId"));
    }
    let kind = properties.get("principalType").and_then(Value::as_str);
    Ok((role, principal.to_lowercase(), kind.unwrap_or("ServicePrincipal").to_owned()))
}

/// Those at the scope, above it and below it; with `atScope()` not those below.
async fn list(app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    let mut at_scope = false;
    let mut text = call.query.get("$filter").map(|text| text.trim()).unwrap_or_default().to_owned();
    if let Some(rest) = text.to_lowercase().strip_prefix("atscope()") {
        at_scope = true;
        let rest = text[text.len() - rest.len()..].trim();
        text = rest.strip_prefix("and ").unwrap_or(rest).to_owned();
    }
    let assigned = text.strip_prefix("assignedTo(").and_then(|text| text.strip_suffix(')'));
    if let Some(principal) = assigned {
        text = format!("principalId eq {principal}");
    }
    let filter = Filter::parse(&text, &["principalId"])?;
    let scope = format!("{}/", at.scope.to_lowercase());
    let mut found = rows::of_kind(app.context(), ASSIGNMENT).await?;
    found.retain(|one| {
        let properties = &one.body["properties"];
        let own = format!("{}/", properties["scope"].as_str().unwrap_or_default().to_lowercase());
        let near = scope.starts_with(&own) || (!at_scope && own.starts_with(&scope));
        near && filter.allows("principalId", properties["principalId"].as_str().unwrap_or_default())
    });
    let value: Vec<_> = found.iter().map(|one| rows::view(ASSIGNMENT, one)).collect();
    Ok(Reply::ok(json!({ "value": value })))
}
