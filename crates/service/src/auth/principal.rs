//! Service principals: who may call. Made, given new secrets and revoked by `goldsmith admin sp`,
//! through the database, so that it works with the server running or not.

use api::ErrorCode;
use db::{Client, Store, Write};
use images::error::{Coded, Error, Result};
use jiff::Timestamp;
use uuid::Uuid;

use super::secret;

/// A service principal with a secret that is shown once and not kept.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// What is stored.
    pub client: Client,
    /// The secret itself.
    pub secret: String,
}

/// Names are for people; this keeps lists readable.
const NAME_LIMIT: usize = 120;

/// Makes a service principal.
///
/// # Errors
/// The name cannot be used, or the database failed.
pub async fn create(store: &Store, name: &str) -> Result<Credentials> {
    let fits = !name.trim().is_empty()
        && name.chars().count() <= NAME_LIMIT
        && !name.chars().any(char::is_control);
    if !fits {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{name:?} is no name for a service principal"),
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
    write(store, &client).await?;
    Ok(Credentials { client, secret })
}

/// All of them, oldest first, the revoked ones too.
///
/// # Errors
/// The database failed.
pub async fn list(store: &Store) -> Result<Vec<Client>> {
    store.clients().await.code(ErrorCode::InternalError, database)
}

/// Gives it a new secret; the old one and its tokens end at once.
///
/// # Errors
/// There is none with that id, it is revoked, or the database failed.
pub async fn rotate(store: &Store, id: &str) -> Result<Credentials> {
    let mut client = find(store, id).await?;
    if client.revoked.is_some() {
        return Err(Error::new(
            ErrorCode::Conflict,
            format!("the service principal {} ({}) is revoked", client.client_id, client.name),
        )
        .hint("make a new one: goldsmith admin sp create NAME"));
    }
    let (secret, secret_hash) = new_secret()?;
    client.secret_hash = secret_hash;
    client.rotated = Timestamp::now();
    write(store, &client).await?;
    Ok(Credentials { client, secret })
}

/// Refuses it from now on, with all its tokens. Once revoked it stays so.
///
/// # Errors
/// There is none with that id, or the database failed.
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
    secret::make().code(ErrorCode::HostNotReady, || "the system gives no random bytes".to_owned())
}

fn database() -> String {
    "the database of the server failed".to_owned()
}
