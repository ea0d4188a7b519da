//! The beginning of roles in an installation.

use std::collections::BTreeSet;

use api::ErrorCode;
use db::{Resource, RoleAssignment, RoleDefinition, Select, Store, Write};
use images::error::{Coded, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::{BLOB_READER, CONTRIBUTOR, SERVICE_PRINCIPAL, assignment, database, ownership};
use crate::auth::{ManagedIdentity, principal};

const TEMPLATES: &str = "microsoft.virtualmachineimages/imagetemplates";
const DEFINITIONS: &str = "microsoft.authorization/roledefinitions";
const ASSIGNMENTS: &str = "microsoft.authorization/roleassignments";

/// What principals of an older installation received, so that they can do what they could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgraded {
    /// The names of service principals, now Owner and Storage Blob Data Owner of everything.
    pub owners: Vec<String>,
    /// The ids of managed identities that image templates use, now Contributor and Storage Blob Data Reader of the
    /// subscription.
    pub identities: Vec<String>,
}

/// How the enforcement of roles began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Began {
    /// At an earlier start.
    Earlier,
    /// Now, in a new installation, which has no owner yet.
    New,
    /// Now, in an installation that is older than roles.
    Upgraded(Upgraded),
}

/// Begins to enforce roles, once in the life of an installation. What clients of an older one could do before, they still
/// can: service principals become Owner of everything; identities of image templates become Contributor, for the template
/// and for scripts on its machines. The assignments that clients stored, which did not count, count from now on.
///
/// # Errors
/// The database fails.
pub async fn begin(store: &Store, subscription: &str) -> Result<Began> {
    let since = store.roles_since().await.code(ErrorCode::InternalError, database)?;
    match since {
        Some(since) if since == Store::NEW => {
            let write = vec![Write::RolesSince(Timestamp::now())];
            store.commit(write).await.code(ErrorCode::InternalError, database)?;
            Ok(Began::New)
        }
        Some(_) => Ok(Began::Earlier),
        None => upgrade(store, subscription).await.map(Began::Upgraded),
    }
}

async fn upgrade(store: &Store, subscription: &str) -> Result<Upgraded> {
    let scope = format!("/subscriptions/{}", subscription.to_lowercase());
    let select = |kind: &str| Select {
        subscription: subscription.to_lowercase(),
        kind: Some(kind.to_owned()),
        ..Select::default()
    };
    let all = async |kind: &str| {
        store.list_all(select(kind)).await.code(ErrorCode::InternalError, database)
    };
    let clients = principal::list(store).await?;
    let clients: Vec<_> = clients.into_iter().filter(|client| client.revoked.is_none()).collect();
    let used = used_identities(&all(TEMPLATES).await?);
    let identities = all(ManagedIdentity::KIND).await?;
    let identities: Vec<&Resource> =
        identities.iter().filter(|row| used.contains(row.key().as_str())).collect();

    let mut writes = vec![Write::RolesSince(Timestamp::now())];
    let mut added = BTreeSet::new();
    let mut add = |write: Write| {
        if let Write::InsertAssignment(row) = &write
            && !added.insert((row.scope.clone(), row.principal.clone(), row.role.clone()))
        {
            return;
        }
        writes.push(write);
    };
    for client in &clients {
        ownership(client, "").into_iter().for_each(&mut add);
    }
    for identity in &identities {
        let principal = identity.body["properties"]["principalId"].as_str().unwrap_or_default();
        for role in [CONTRIBUTOR, BLOB_READER] {
            add(Write::InsertAssignment(assignment(&scope, principal, SERVICE_PRINCIPAL, role)));
        }
    }
    for row in all(DEFINITIONS).await? {
        add(Write::Remove(row.key(), row.revision));
        add(Write::PutRole(definition(row)));
    }
    for row in all(ASSIGNMENTS).await? {
        add(Write::Remove(row.key(), row.revision));
        if let Some(row) = stored_assignment(row) {
            add(Write::InsertAssignment(row));
        }
    }
    store.commit(writes).await.code(ErrorCode::InternalError, database)?;
    Ok(Upgraded {
        owners: clients.into_iter().map(|client| client.name).collect(),
        identities: identities.into_iter().map(|row| row.id.clone()).collect(),
    })
}

/// The keys of all identities that templates name, for themselves or for their machines.
fn used_identities(templates: &[Resource]) -> BTreeSet<String> {
    let named = |value: &Value| -> Vec<String> {
        match value {
            Value::Object(object) => object.keys().map(|id| id.to_lowercase()).collect(),
            Value::Array(ids) => {
                ids.iter().filter_map(Value::as_str).map(str::to_lowercase).collect()
            }
            _ => Vec::new(),
        }
    };
    let of = |row: &Resource| {
        let own = named(&row.body["identity"]["userAssignedIdentities"]);
        let machines = named(&row.body["properties"]["vmProfile"]["userAssignedIdentities"]);
        own.into_iter().chain(machines)
    };
    templates.iter().flat_map(of).collect()
}

fn definition(row: Resource) -> RoleDefinition {
    let body = row.body["properties"].clone();
    RoleDefinition {
        id: row.name.to_lowercase(),
        name: body["roleName"].as_str().unwrap_or_default().to_owned(),
        body,
        revision: 0,
        created: row.created,
        changed: row.changed,
    }
}

/// An assignment that a client stored. `None` if it is incomplete.
fn stored_assignment(row: Resource) -> Option<RoleAssignment> {
    let body = row.body["properties"].clone();
    let text = |field: &str| body[field].as_str();
    Some(RoleAssignment {
        scope: text("scope")?.trim_end_matches('/').to_lowercase(),
        principal: text("principalId")?.to_lowercase(),
        principal_type: text("principalType").unwrap_or(SERVICE_PRINCIPAL).to_owned(),
        role: text("roleDefinitionId")?.rsplit('/').next()?.to_lowercase(),
        name: row.name,
        id: row.id,
        created: row.created,
        revision: 0,
        body,
    })
}
