//! The rows of service principals.

use api::ErrorCode;
use db::{Client, Store};
use images::error::{Coded, Error, Result};

/// The service principal, unless it is revoked.
///
/// # Errors
/// The id is unknown, it is revoked, or the database failed.
pub(super) async fn active(store: &Store, id: &str) -> Result<Client> {
    let client = find(store, id).await?;
    if client.revoked.is_none() {
        return Ok(client);
    }
    Err(Error::new(
        ErrorCode::Conflict,
        format!("the service principal {} ({}) is revoked", client.client_id, client.name),
    )
    .hint("create a new one: goldsmith admin sp create NAME"))
}

/// The service principal, revoked or not.
///
/// # Errors
/// The id is unknown, or the database failed.
pub(super) async fn find(store: &Store, id: &str) -> Result<Client> {
    let found = store.client(&id.to_lowercase()).await.code(ErrorCode::InternalError, database)?;
    let found = found.ok_or_else(|| {
        Error::new(ErrorCode::NotFound, format!("there is no service principal {id:?}"))
            .hint("goldsmith admin sp list shows their client ids")
    })?;
    // Its secrets are credentials of their own.
    Ok(Client { secret_hash: String::new(), ..found })
}

pub(super) fn database() -> String {
    "the database of the server failed".to_owned()
}
