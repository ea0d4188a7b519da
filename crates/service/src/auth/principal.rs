//! Service principals. `goldsmith admin sp` creates, rotates and revokes them in the database, whether or
//! not the server runs.

use std::time::Duration;

use api::ErrorCode;
use db::{Client, Store, Write};
use images::error::{Coded, Error, Result};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    clients::{active, database, find},
    credentials::{self, Valid},
};

/// A service principal with its secret, which is shown once and not stored.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The stored part.
    pub client: Client,
    /// The secret.
    pub secret: String,
}

/// The maximum length of a name, for readable lists.
const NAME_LIMIT: usize = 120;

/// Creates a service principal with a secret that does not expire.
///
/// # Errors
/// The name is invalid, or the database failed.
pub async fn create(store: &Store, name: &str) -> Result<Credentials> {
    create_with(store, name, Valid::default(), |_| Vec::new()).await
}

/// Creates a service principal and writes more in the same commit.
///
/// # Errors
/// As [`create`].
pub async fn create_with(
    store: &Store,
    name: &str,
    valid: Valid,
    more: impl FnOnce(&Client) -> Vec<Write>,
) -> Result<Credentials> {
    let client = new_client(name)?;
    let (credential, secret) = credentials::secret_of(&client, "", valid)?;
    let mut writes = vec![Write::Client(client.clone()), Write::PutCredential(credential)];
    writes.extend(more(&client));
    store.commit(writes).await.code(ErrorCode::InternalError, database)?;
    Ok(Credentials { client, secret })
}

/// Creates a service principal without a credential.
///
/// # Errors
/// As [`create`].
pub async fn register(store: &Store, name: &str) -> Result<Client> {
    let client = new_client(name)?;
    write(store, &client).await?;
    Ok(client)
}

fn new_client(name: &str) -> Result<Client> {
    let fits = !name.trim().is_empty()
        && name.chars().count() <= NAME_LIMIT
        && !name.chars().any(char::is_control);
    if !fits {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{name:?} is not a valid name for a service principal"),
        )
        .hint(format!("give it 1 to {NAME_LIMIT} printable characters, for example ci")));
    }
    let now = Timestamp::now();
    Ok(Client {
        client_id: Uuid::new_v4().to_string(),
        object_id: Uuid::new_v4().to_string(),
        name: name.to_owned(),
        secret_hash: String::new(),
        created: now,
        rotated: now,
        revoked: None,
    })
}

/// All service principals, including revoked ones, oldest first.
///
/// # Errors
/// The database failed.
pub async fn list(store: &Store) -> Result<Vec<Client>> {
    store.clients().await.code(ErrorCode::InternalError, database)
}

/// Creates a new secret in place of all others. With an overlap, these stay valid that long; otherwise they and their
/// tokens become invalid immediately.
///
/// # Errors
/// The id is unknown, it is revoked, or the database failed.
pub async fn rotate(store: &Store, id: &str, overlap: Option<Duration>) -> Result<Credentials> {
    let mut client = active(store, id).await?;
    client.rotated = Timestamp::now();
    let (credential, secret) = credentials::secret_of(&client, "", Valid::default())?;
    let mut writes = credentials::end_secrets(store, &client, overlap).await?;
    writes.extend([Write::Client(client.clone()), Write::PutCredential(credential)]);
    store.commit(writes).await.code(ErrorCode::InternalError, database)?;
    Ok(Credentials { client, secret })
}

/// Changes the display name.
///
/// # Errors
/// The name is invalid, the id is unknown, it is revoked, or the database failed.
pub async fn rename(store: &Store, id: &str, name: &str) -> Result<Client> {
    let name = new_client(name)?.name;
    let client = Client { name, ..active(store, id).await? };
    write(store, &client).await?;
    Ok(client)
}

/// Revokes it with all its tokens, permanently.
///
/// # Errors
/// The id is unknown, or the database failed.
pub async fn revoke(store: &Store, id: &str) -> Result<Client> {
    let mut client = find(store, id).await?;
    if client.revoked.is_none() {
        client.revoked = Some(Timestamp::now());
        write(store, &client).await?;
    }
    Ok(client)
}

async fn write(store: &Store, client: &Client) -> Result<()> {
    let writes = vec![Write::Client(client.clone())];
    store.commit(writes).await.code(ErrorCode::InternalError, database)
}
