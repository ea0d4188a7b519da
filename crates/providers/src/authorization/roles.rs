//! Role definitions: a few of Azure's built-in ones, and those that clients create.
//!
//! A definition of a client belongs to the subscription, at whatever scope it was written. Its name is unique.

use arm::{
    ApiError, Call, Extension, Filter, Method, Reply,
    fields::{self, missing},
    rows,
};
use db::{CLAIM, Resource, ResourceKey, Write};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use service::App;

use super::ASSIGNMENT;

pub(super) const DEFINITION: &str = "Microsoft.Authorization/roleDefinitions";
const CUSTOM: &str = "CustomRole";
const BUILT_IN: &str = "BuiltInRole";

/// The lists of actions of a permission. PowerShell fails if one is missing.
const ACTIONS: [&str; 4] = ["actions", "notActions", "dataActions", "notDataActions"];

/// Azure's limit for the definitions of clients.
const MOST: usize = 5_000;

/// A built-in role of Azure.
struct Role {
    name: &'static str,
    id: &'static str,
    description: &'static str,
    actions: &'static [&'static str],
    not_actions: &'static [&'static str],
}

const ROLES: &[Role] = &[
    Role {
        name: "Owner",
        id: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        description: "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
        actions: &["*"],
        not_actions: &[],
    },
    Role {
        name: "Contributor",
        id: "b24988ac-6180-42a0-ab88-20f7382dd24c",
        description: "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC.",
        actions: &["*"],
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
        ],
    },
    Role {
        name: "Reader",
        id: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        description: "View all resources, but does not allow you to make any changes.",
        actions: &["*/read"],
        not_actions: &[],
    },
];

/// `{scope}/providers/Microsoft.Authorization/roleDefinitions[/{guid}]`
///
/// # Errors
/// Those of the request; `RoleDefinitionDoesNotExist`.
pub async fn definitions(app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    let Some(name) = at.rest.get(1) else {
        call.only(&[Method::Get])?;
        return list(app, call, at).await;
    };
    call.only(&[Method::Get, Method::Put, Method::Delete])?;
    if let Some(role) = built_in(name) {
        return match call.method {
            Method::Get => Ok(Reply::ok(definition(app, role))),
            _ => Err(ApiError::bad_request(
                "RoleDefinitionIsReadOnly",
                format!("The role '{}' is built in and cannot be changed or deleted.", role.name),
            )),
        };
    }
    let stored = app.store().resource(&ResourceKey::of(&id_of(app, name))).await?;
    match (call.method, stored) {
        (Method::Put, stored) => put(app, call, at, name, stored).await,
        (Method::Delete, None) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (Method::Delete, Some(stored)) => delete(app, stored).await,
        (_, Some(stored)) => Ok(Reply::ok(rows::view(DEFINITION, &stored))),
        (_, None) => Err(unknown_role(name)),
    }
}

/// Those that can be assigned at the scope, above it or below it.
async fn list(app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    let text = call.query.get("$filter").map(String::as_str).unwrap_or_default().trim();
    let text = if text.eq_ignore_ascii_case("atScopeAndBelow()") { "" } else { text };
    let filter = Filter::parse(text, &["roleName", "type"])?;
    let mut all: Vec<Value> = ROLES.iter().map(|role| definition(app, role)).collect();
    let custom = rows::of_kind(app.context(), DEFINITION).await?;
    let custom = custom.iter().filter(|one| is_near(&one.body, &at.scope));
    all.extend(custom.map(|one| rows::view(DEFINITION, one)));
    all.retain(|one| {
        let text = |field: &str| one["properties"][field].as_str().unwrap_or_default();
        filter.allows("roleName", text("roleName")) && filter.allows("type", text("type"))
    });
    Ok(Reply::ok(json!({ "value": all })))
}

fn is_near(definition: &Value, scope: &str) -> bool {
    let scope = format!("{}/", scope.to_lowercase());
    let scopes = definition["properties"]["assignableScopes"].as_array();
    scopes.into_iter().flatten().filter_map(Value::as_str).any(|own| {
        let own = format!("{}/", own.trim_end_matches('/').to_lowercase());
        scope.starts_with(&own) || own.starts_with(&scope)
    })
}

fn definition(app: &App, role: &Role) -> Value {
    json!({
        "id": id_of(app, role.id),
        "name": role.id,
        "type": DEFINITION,
        "properties": {
            "roleName": role.name,
            "type": BUILT_IN,
            "description": role.description,
            "assignableScopes": ["/"],
            "permissions": [{
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": [],
                "notDataActions": [],
            }],
        },
    })
}

fn built_in(id: &str) -> Option<&'static Role> {
    ROLES.iter().find(|role| role.id.eq_ignore_ascii_case(id))
}

/// The id (a GUID) of the built-in role of that name.
pub fn role_named(name: &str) -> Option<&'static str> {
    ROLES.iter().find(|role| role.name.eq_ignore_ascii_case(name)).map(|role| role.id)
}

/// Every definition has its id in the subscription: clients compare ids as text.
fn id_of(app: &App, name: &str) -> String {
    format!("/subscriptions/{}/providers/{DEFINITION}/{}", app.settings().subscription, name)
}

/// The id of the role that a client names by any of its ids.
///
/// # Errors
/// `RoleDefinitionDoesNotExist`
pub(super) async fn existing(app: &App, id: &str) -> Result<String, ApiError> {
    let name = id.rsplit('/').next().unwrap_or_default();
    if let Some(role) = built_in(name) {
        return Ok(id_of(app, role.id));
    }
    let stored = app.store().resource(&ResourceKey::of(&id_of(app, name))).await?;
    stored.map(|role| role.id).ok_or_else(|| unknown_role(id))
}

fn unknown_role(id: &str) -> ApiError {
    let known: Vec<_> = ROLES.iter().map(|role| format!("{} ({})", role.id, role.name)).collect();
    ApiError::absent(
        "RoleDefinitionDoesNotExist",
        format!(
            "The specified role definition with ID '{id}' does not exist. The built-in ones are {}.",
            known.join(", ")
        ),
    )
}

async fn put(
    app: &App,
    call: &Call,
    at: &Extension,
    name: &str,
    stored: Option<Resource>,
) -> Result<Reply, ApiError> {
    at.check_scope(app.context()).await?;
    if uuid::Uuid::try_parse(name).is_err() {
        return Err(ApiError::bad_request(
            "InvalidRoleDefinitionId",
            format!("The role definition ID '{name}' is not valid. The role definition ID must be a GUID."),
        )
        .target("name"));
    }
    let now = Timestamp::now().to_string();
    let mut properties =
        properties(&fields::properties(&call.json()?)?, &app.settings().subscription)?;
    let id = id_of(app, &name.to_lowercase());
    check_room(app, &id, &properties).await?;
    let own = |field: &str| stored.as_ref().map(|old| old.body["properties"][field].clone());
    properties["createdOn"] = own("createdOn").unwrap_or_else(|| json!(now));
    properties["createdBy"] = own("createdBy").unwrap_or_else(|| json!(call.caller.object_id));
    properties["updatedOn"] = json!(now);
    properties["updatedBy"] = json!(call.caller.object_id);
    // Of two with the same name that are written at the same time, the second is refused.
    let claim = properties["roleName"].as_str().unwrap_or_default().to_lowercase();
    let (body, hidden) = (json!({ "properties": properties }), json!({ CLAIM: claim }));
    let created = stored.is_none();
    let row = match stored {
        Some(old) => rows::replace(app.context(), Resource { body, hidden, ..old }).await?,
        None => {
            let row = Resource::new(id, DEFINITION, body, hidden);
            app.store().commit(vec![Write::Insert(row.clone())]).await?;
            row
        }
    };
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Reply::json(status, rows::view(DEFINITION, &row)))
}

/// Checks that no other role has the name, and that there are not too many.
async fn check_room(app: &App, id: &str, properties: &Value) -> Result<(), ApiError> {
    let name = properties["roleName"].as_str().unwrap_or_default();
    let mut others = rows::of_kind(app.context(), DEFINITION).await?;
    others.retain(|one| !one.id.eq_ignore_ascii_case(id));
    let is_taken = |one: &Resource| {
        one.body["properties"]["roleName"].as_str().is_some_and(|own| arm::is(own, name))
    };
    if role_named(name).is_some() || others.iter().any(is_taken) {
        return Err(ApiError::conflict(
            "RoleDefinitionWithSameNameExists",
            format!(
                "A role definition with the name '{name}' already exists. Choose another name."
            ),
        )
        .target("properties.roleName"));
    }
    if others.len() >= MOST {
        return Err(ApiError::conflict(
            "RoleDefinitionLimitExceeded",
            format!("The limit of {MOST} custom role definitions is reached."),
        ));
    }
    Ok(())
}

async fn delete(app: &App, stored: Resource) -> Result<Reply, ApiError> {
    let assigned = rows::of_kind(app.context(), ASSIGNMENT).await?;
    let assigned = assigned.iter().filter(|one| {
        one.body["properties"]["roleDefinitionId"]
            .as_str()
            .is_some_and(|id| id.eq_ignore_ascii_case(&stored.id))
    });
    let ids: Vec<&str> = assigned.map(|one| one.id.as_str()).collect();
    if !ids.is_empty() {
        return Err(ApiError::bad_request(
            "RoleDefinitionHasAssignments",
            format!(
                "There are existing role assignments referencing role '{}'. Delete them first: {}.",
                stored.name,
                ids.join(", ")
            ),
        ));
    }
    app.store().commit(vec![Write::Remove(stored.key(), stored.revision)]).await?;
    Ok(Reply::ok(rows::view(DEFINITION, &stored)))
}

/// The properties of a role in the form that answers have.
fn properties(given: &Map<String, Value>, subscription: &str) -> Result<Value, ApiError> {
    let name = given.get("roleName").and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if name.is_empty() {
        return Err(missing("properties.roleName"));
    }
    if given.get("type").and_then(Value::as_str).is_some_and(|kind| !arm::is(kind, CUSTOM)) {
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
        "assignableScopes": scopes(given.get("assignableScopes"), subscription)?,
        "permissions": permissions?,
    }))
}

/// A permission with all four lists.
fn permission(given: &Value) -> Result<Value, ApiError> {
    let mut permission = json!({});
    for list in ACTIONS {
        let path = format!("properties.permissions.{list}");
        let actions = match &given[list] {
            Value::Null => &Vec::new(),
            Value::Array(actions) => actions,
            other => return Err(fields::invalid(&path, other, "it must be a list of strings")),
        };
        if let Some(bad) = actions.iter().find(|action| !is_action(action)) {
            return Err(ApiError::bad_request(
                "InvalidActionOrNotAction",
                format!(
                    "{bad} does not match any of the actions supported by the providers. It is '*' or a name such as 'Microsoft.Compute/images/read'."
                ),
            )
            .target(path));
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

fn is_action(action: &Value) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "./*-_".contains(c);
    action
        .as_str()
        .is_some_and(|text| (text == "*" || text.contains('/')) && text.chars().all(good))
}

/// Where the role can be assigned: the subscription, its groups and resources, management groups.
fn scopes(given: Option<&Value>, subscription: &str) -> Result<Vec<String>, ApiError> {
    let path = "properties.assignableScopes";
    let Some(Value::Array(given)) = given.filter(|given| **given != json!([])) else {
        return Err(missing(path));
    };
    let own = format!("/subscriptions/{subscription}/").to_lowercase();
    let is_good = |scope: &str| {
        let scope = format!("{}/", scope.trim_end_matches('/').to_lowercase());
        scope.starts_with(&own)
            || scope.starts_with("/providers/microsoft.management/managementgroups/")
    };
    given
        .iter()
        .map(|scope| match scope.as_str().filter(|text| is_good(text)) {
            Some(text) => Ok(text.trim_end_matches('/').to_owned()),
            None => Err(fields::invalid(path, scope, "it must be a scope in this subscription")),
        })
        .collect()
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
        properties(given.as_object().unwrap(), "s")
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
            ("type", json!("BuiltInRole"), "InvalidParameter"),
            ("permissions", json!([]), "InvalidParameter"),
            ("permissions", json!([{ "actions": ["read"] }]), "InvalidActionOrNotAction"),
            ("permissions", json!([{ "dataActions": "*" }]), "InvalidParameter"),
            ("assignableScopes", json!([]), "InvalidParameter"),
            ("assignableScopes", json!(["/"]), "InvalidParameter"),
            ("assignableScopes", json!(["/subscriptions/other"]), "InvalidParameter"),
        ] {
            let error = check(|given| given[field] = value.clone()).unwrap_err();
            assert_eq!(error.code, code, "{field}: {value}");
            assert!(error.target.unwrap().starts_with(&format!("properties.{field}")));
        }
    }

    #[test]
    fn role_is_near_scopes_above_and_below_its_own() {
        let role =
            json!({ "properties": { "assignableScopes": ["/subscriptions/S/resourceGroups/rg"] } });
        for scope in ["", "/subscriptions/s", "/subscriptions/s/resourcegroups/RG/providers/x/y/z"]
        {
            assert!(is_near(&role, scope), "{scope}");
        }
        assert!(!is_near(&role, "/subscriptions/S/resourceGroups/rg2"));
    }
}
