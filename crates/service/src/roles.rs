//! Roles that the service itself assigns: those of the first administrator, those that `goldsmith admin role` grants, and,
//! once, those of the principals of an installation that is older than roles.

use api::ErrorCode;
use authorization::built_in;
use db::{Client, RoleAssignment, Store, Write};
use images::error::{Coded, Error, Result};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

mod directory;
mod grant;
mod upgrade;

use crate::auth::{
    credentials::Valid,
    principal::{self, Credentials},
};

pub use directory::{Directory, Named};
pub use grant::{Granted, check, grant, granted, revoke};
pub use upgrade::{Began, Upgraded, begin};

/// The GUID of Owner.
pub const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
/// The GUID of Contributor.
pub const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
/// The GUID of Storage Blob Data Owner: Owner alone reads no blobs.
pub const BLOB_OWNER: &str = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b";
/// The GUID of Storage Blob Data Reader.
pub const BLOB_READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";

/// The type of principals that have credentials, and of managed identities.
pub const SERVICE_PRINCIPAL: &str = "ServicePrincipal";

/// A new assignment of a role (its GUID) to a principal (its object id), with a name of its own.
pub fn assignment(
    scope: &str,
    principal: &str,
    principal_type: &str,
    role: &str,
) -> RoleAssignment {
    let name = Uuid::new_v4().to_string();
    RoleAssignment {
        id: RoleAssignment::id_at(scope, &name),
        name,
        scope: scope.trim_end_matches('/').to_lowercase(),
        principal: principal.to_lowercase(),
        principal_type: principal_type.to_owned(),
        role: role.to_lowercase(),
        body: json!({ "scope": if scope.is_empty() { "/" } else { scope } }),
        revision: 0,
        created: Timestamp::now(),
    }
}

/// Everything at and below a scope, for a client.
pub fn ownership(client: &Client, scope: &str) -> Vec<Write> {
    [OWNER, BLOB_OWNER]
        .map(|role| assignment(scope, &client.object_id, SERVICE_PRINCIPAL, role))
        .map(Write::InsertAssignment)
        .into()
}

/// Creates a service principal that is Owner of everything, and owns all blobs.
///
/// # Errors
/// As [`principal::create`].
pub async fn create_owner(store: &Store, name: &str) -> Result<Credentials> {
    principal::create_with(store, name, Valid::default(), |client| ownership(client, "")).await
}

/// The display name of a role by its GUID.
async fn role_name(store: &Store, id: &str) -> Result<String> {
    if let Some(role) = built_in::role(id) {
        return Ok(role.name.to_owned());
    }
    let found = store.role_definition(id).await.code(ErrorCode::InternalError, database)?;
    Ok(found.map_or_else(|| id.to_owned(), |definition| definition.name))
}

fn database() -> String {
    "the database of the server failed".to_owned()
}

fn failed(error: db::Error) -> Error {
    Error::new(ErrorCode::InternalError, database()).caused_by(error)
}

#[cfg(test)]
mod tests;
