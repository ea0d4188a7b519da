//! Role definitions: Azure's built-in ones, and those of clients.
//!
//! A definition of a client belongs to the tenant. Its id and its display name are unique there; its assignable scopes say
//! where it can be assigned, and who may read and change it.

mod body;
mod write;

use arm::{ApiError, Call, Extension, Method, Reply};
use authorization::{
    Need, Scope, Wanted,
    built_in::{self, BuiltIn},
};
use db::RoleDefinition;
use http::StatusCode;
use serde_json::{Value, json};
use service::App;

use crate::{
    DEFINITIONS,
    filter::Scoped,
    place::{self, check_depth},
};

const BUILT_IN: &str = "BuiltInRole";

/// `{scope}/providers/Microsoft.Authorization/roleDefinitions[/{guid}]`
///
/// # Errors
/// Those of the request; `RoleDefinitionDoesNotExist`.
pub async fn definitions(app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    check_depth(call, at)?;
    let Some(name) = at.rest.get(1) else {
        call.only(&[Method::Get])?;
        return list(app, call, at).await;
    };
    call.only(&[Method::Get, Method::Put, Method::Delete])?;
    if let Some(role) = built_in::role(name) {
        return match call.method {
            Method::Get => Ok(Reply::ok(of_built_in(at, role))),
            _ => Err(ApiError::bad_request(
                "RoleDefinitionIsReadOnly",
                format!("The role '{}' is built in and cannot be changed or deleted.", role.name),
            )),
        };
    }
    let stored = app.store().role_definition(name).await?;
    match (call.method, stored) {
        (Method::Put, stored) => write::put(app, call, at, name, stored).await,
        (Method::Delete, Some(stored)) if is_near(&stored, at) => {
            write::delete(app, call, at, stored).await
        }
        (Method::Delete, _) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (_, Some(stored)) if is_near(&stored, at) => Ok(Reply::ok(view(at, &stored))),
        (_, _) => Err(unknown_role(name)),
    }
}

/// Those that can be assigned at the scope; with `atScopeAndBelow()`, also those that can be assigned below it.
async fn list(app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    let filter = Scoped::of(call, &["atscopeandbelow"], &["roleName", "type"])?;
    let mut all: Vec<Value> = built_in::ROLES.iter().map(|role| of_built_in(at, role)).collect();
    let here = Scope::parse(&at.scope);
    let is_listed = |role: &RoleDefinition| {
        scopes(role).any(|own| {
            let scope = Scope::parse(own);
            let is_below = filter.has("atscopeandbelow") && here.contains(&scope);
            let near = if scope.contains(&here) { Some(&here) } else { is_below.then_some(&scope) };
            near.is_some_and(|near| may_read(call, near))
        })
    };
    let custom = app.store().role_definitions().await?;
    all.extend(custom.iter().filter(|role| is_listed(role)).map(|role| view(at, role)));
    all.retain(|one| {
        let allows = |field: &str| {
            let own = one["properties"][field].as_str().unwrap_or_default();
            filter.comparisons.allows(field, own)
        };
        allows("roleName") && allows("type")
    });
    Ok(Reply::ok(json!({ "value": all })))
}

fn may_read(call: &Call, scope: &Scope) -> bool {
    let need = Need::new(Wanted::action(DEFINITIONS.read), scope.clone());
    call.rights().check(&need).is_ok()
}

/// The role's id and assignable scopes, by its id in any form; the scopes of a built-in role are empty, as it can be
/// assigned everywhere.
pub(crate) struct Existing {
    /// Lower-case GUID.
    pub(crate) id: String,
    custom: Option<RoleDefinition>,
}

impl Existing {
    /// The role that a client names by any of its ids.
    ///
    /// # Errors
    /// `RoleDefinitionDoesNotExist`
    pub(crate) async fn of(app: &App, id: &str) -> Result<Self, ApiError> {
        let name = id.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if let Some(role) = built_in::role(name) {
            return Ok(Self { id: role.id.to_owned(), custom: None });
        }
        let custom = app.store().role_definition(name).await?;
        let custom = custom.ok_or_else(|| unknown_role(name))?;
        Ok(Self { id: custom.id.clone(), custom: Some(custom) })
    }

    /// Whether the role can be assigned at a scope.
    pub(crate) fn is_assignable_at(&self, scope: &str) -> bool {
        let scope = Scope::parse(scope);
        self.custom
            .as_ref()
            .is_none_or(|role| scopes(role).any(|own| Scope::parse(own).contains(&scope)))
    }
}

/// The assignable scopes of a client's role.
fn scopes(role: &RoleDefinition) -> impl Iterator<Item = &str> {
    role.body["assignableScopes"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Whether a role can be assigned at the scope of a request, above it or below it. Elsewhere, the role is not there.
fn is_near(role: &RoleDefinition, at: &Extension) -> bool {
    let here = Scope::parse(&at.scope);
    scopes(role).any(|own| {
        let own = Scope::parse(own);
        own.contains(&here) || here.contains(&own)
    })
}

fn view(at: &Extension, role: &RoleDefinition) -> Value {
    let mut properties = role.body.clone();
    properties["createdOn"] = json!(place::time(role.created));
    properties["updatedOn"] = json!(place::time(role.changed));
    json!({
        "id": place::definition_id(at, &role.id),
        "name": role.id,
        "type": DEFINITIONS.kind,
        "properties": properties,
    })
}

fn of_built_in(at: &Extension, role: &BuiltIn) -> Value {
    json!({
        "id": place::definition_id(at, role.id),
        "name": role.id,
        "type": DEFINITIONS.kind,
        "properties": {
            "roleName": role.name,
            "type": BUILT_IN,
            "description": role.description,
            "assignableScopes": ["/"],
            "permissions": [{
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": role.data_actions,
                "notDataActions": role.not_data_actions,
            }],
            "createdOn": null,
            "updatedOn": null,
            "createdBy": null,
            "updatedBy": null,
        },
    })
}

fn unknown_role(id: &str) -> ApiError {
    ApiError::absent(
        "RoleDefinitionDoesNotExist",
        format!("The specified role definition with ID '{id}' does not exist."),
    )
}
