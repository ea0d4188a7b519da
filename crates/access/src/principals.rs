//! Who can have a role: service principals, and managed identities of all subscriptions.

use arm::{is, rows};
use db::{Client, Resource};
use jiff::Timestamp;
use service::{App, auth::ManagedIdentity};

/// What a principal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A service principal with credentials.
    Application,
    /// A managed identity, by its resource id.
    ManagedIdentity(String),
}

/// Someone who can have a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The id that assignments name.
    pub object_id: String,
    /// The application (client) id.
    pub client_id: String,
    /// The display name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// What it is.
    pub kind: Kind,
}

/// Every principal that is not revoked, service principals first.
///
/// # Errors
/// The database fails.
pub async fn all(app: &App) -> Result<Vec<Principal>, db::Error> {
    let mut all = applications(app).await?;
    all.extend(identities(app).await?);
    Ok(all)
}

/// The principal with that object id.
///
/// # Errors
/// The database fails.
pub async fn find(app: &App, object_id: &str) -> Result<Option<Principal>, db::Error> {
    let with_id = |all: Vec<Principal>| all.into_iter().find(|one| is(&one.object_id, object_id));
    match with_id(applications(app).await?) {
        Some(found) => Ok(Some(found)),
        None => Ok(with_id(identities(app).await?)),
    }
}

/// The service principals that are not revoked.
///
/// # Errors
/// The database fails.
pub async fn applications(app: &App) -> Result<Vec<Principal>, db::Error> {
    let clients = app.store().clients().await?;
    Ok(clients.iter().filter(|client| client.revoked.is_none()).map(of_client).collect())
}

async fn identities(app: &App) -> Result<Vec<Principal>, db::Error> {
    let mut all = Vec::new();
    for subscription in app.subscriptions().await?.iter() {
        let context = app.context().within(&subscription.id);
        let found = rows::of_kind(&context, ManagedIdentity::KIND).await?;
        all.extend(found.iter().map(of_identity));
    }
    Ok(all)
}

fn of_client(client: &Client) -> Principal {
    Principal {
        object_id: client.object_id.clone(),
        client_id: client.client_id.clone(),
        name: client.name.clone(),
        created: client.created,
        kind: Kind::Application,
    }
}

fn of_identity(identity: &Resource) -> Principal {
    let text =
        |name: &str| identity.body["properties"][name].as_str().unwrap_or_default().to_owned();
    Principal {
        object_id: text("principalId"),
        client_id: text("clientId"),
        name: identity.name.clone(),
        created: identity.created,
        kind: Kind::ManagedIdentity(identity.id.clone()),
    }
}
