//! Everybody who can have a role: service principals and managed identities.

use api::ErrorCode;
use db::{Select, Store};
use images::error::{Error, Result};

use super::failed;
use crate::auth::{ManagedIdentity, principal};

/// A principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The client id.
    pub client_id: String,
    /// The object id, in lower case.
    pub object_id: String,
    /// The display name, or the resource id of a managed identity.
    pub name: String,
}

/// All principals that are not revoked.
#[derive(Debug, Clone)]
pub struct Directory(Vec<Named>);

impl Directory {
    /// Reads them.
    ///
    /// # Errors
    /// The database fails.
    pub async fn read(store: &Store) -> Result<Self> {
        let clients = principal::list(store).await?;
        let mut all: Vec<Named> = clients
            .into_iter()
            .filter(|client| client.revoked.is_none())
            .map(|client| Named {
                client_id: client.client_id,
                object_id: client.object_id.to_lowercase(),
                name: client.name,
            })
            .collect();
        for subscription in store.subscriptions().await.map_err(failed)? {
            let select = Select {
                subscription: subscription.id,
                kind: Some(ManagedIdentity::KIND.to_owned()),
                ..Select::default()
            };
            for row in store.list_all(select).await.map_err(failed)? {
                let text = |field: &str| {
                    row.body["properties"][field].as_str().unwrap_or_default().to_lowercase()
                };
                let (client_id, object_id) = (text("clientId"), text("principalId"));
                all.push(Named { client_id, object_id, name: row.id });
            }
        }
        Ok(Self(all))
    }

    /// The principal of an object id.
    pub fn of_object(&self, id: &str) -> Option<&Named> {
        self.0.iter().find(|one| one.object_id.eq_ignore_ascii_case(id))
    }

    /// The principal of a client id, an object id, a name, or the resource id of a managed identity.
    ///
    /// # Errors
    /// There is none, or several have the name.
    pub fn find(&self, who: &str) -> Result<&Named> {
        let is = |text: &str| text.eq_ignore_ascii_case(who);
        let by_id = |one: &&Named| is(&one.client_id) || is(&one.object_id);
        if let Some(found) = self.0.iter().find(by_id) {
            return Ok(found);
        }
        let found: Vec<&Named> = self.0.iter().filter(|one| is(&one.name)).collect();
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(Error::new(
                ErrorCode::NotFound,
                format!("there is no service principal or managed identity {who:?}"),
            )
            .hint("use a client id of goldsmith admin sp list, or the resource id of an identity")),
            several => Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("{} service principals have the name {who:?}", several.len()),
            )
            .hint("use the client id: goldsmith admin sp list")),
        }
    }
}
