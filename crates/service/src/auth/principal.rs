//! Service principals. `goldsmith admin sp` creates, rotates and revokes them in the database, whether or
//! not the server runs.

use api::ErrorCode;
use db::{Client, Store, Write};
use images::error::{Coded, Error, Result};
use jiff::Timestamp;
use uuid::Uuid;

use super::secret;
use crate::roles;

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

/// Creates a service principal.
///
/// # Errors
/// The name is invalid, or the database failed.
pub async fn create(store: &Store, name: &str) -> Result<Credentials> {
    let credentials = prepare(name)?;
    write(store, &credentials.client).await?;
    Ok(credentials)
}

/// Creates a service principal that is Owner of everything, and owns all blobs.
///
/// # Errors
/// As [`create`].
pub async fn create_owner(store: &Store, name: &str) -> Result<Credentials> {
    let credentials = prepare(name)?;
    let mut writes = roles::ownership(&credentials.client, "");
    writes.push(Write::Client(credentials.client.clone()));
    store.commit(writes).await.code(ErrorCode::InternalError, database)?;
    Ok(credentials)
}

fn prepare(name: &str) -> Result<Credentials> {
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
    let (secret, secret_hash) = new_secret()?;
    let client = Client {
        client_id: Uuid::new_v4().to_string(),
        object_id: Uuid::new_v4().to_string(),
        name: name.to_owned(),
        secret_hash,
        created: now,
        rotated: now,
        revoked: None,
    };
    Ok(Credentials { client, secret })
}

/// All service principals, including revoked ones, oldest first.
///
/// # Errors
/// The database failed.
pub async fn list(store: &Store) -> Result<Vec<Client>> {
    store.clients().await.code(ErrorCode::InternalError, database)
}

/// Creates a new secret. The old one and its tokens become invalid immediately.
///
/// # Errors
/// The id is unknown, it is revoked, or the database failed.
pub async fn rotate(store: &Store, id: &str) -> Result<Credentials> {
    let mut client = find(store, id).await?;
    if client.revoked.is_some() {
        return Err(Error::new(
            ErrorCode::Conflict,
            format!("the service principal {} ({}) is revoked", client.client_id, client.name),
        )
        .hint("create a new one: goldsmith admin sp create NAME"));
    }
    let (secret, secret_hash) = new_secret()?;
    client.secret_hash = secret_hash;
    client.rotated = Timestamp::now();
    write(store, &client).await?;
    Ok(Credentials { client, secret })
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

async fn find(store: &Store, id: &str) -> Result<Client> {
    let found = store.client(&id.to_lowercase()).await.code(ErrorCode::InternalError, database)?;
    found.ok_or_else(|| {
        Error::new(ErrorCode::NotFound, format!("there is no service principal {id:?}"))
            .hint("goldsmith admin sp list shows their client ids")
    })
}

async fn write(store: &Store, client: &Client) -> Result<()> {
    let writes = vec![Write::Client(client.clone())];
    store.commit(writes).await.code(ErrorCode::InternalError, database)
}

fn new_secret() -> Result<(String, String)> {
    secret::make()
        .code(ErrorCode::HostNotReady, || "the system's random number generator failed".to_owned())
}

fn database() -> String {
    "the database of the server failed".to_owned()
}
