//! Changes of who may do what outside of requests: by commands, and by the service's start.

use std::sync::Arc;

use arm::operation::{Origin, SERVICE};
use db::{Activity, Record, ResourceKey, Store, Write};
use http::StatusCode;

use super::{
    background::operations,
    event::{Status, Told, event},
};

/// Who makes the changes.
#[derive(Debug)]
struct Actor {
    name: String,
    /// The client that asked for them, if it was one.
    object_id: String,
    correlation: String,
}

/// The store for `goldsmith admin`: its changes are recorded as those of the user who runs it.
pub fn by_command(store: &Store) -> Store {
    let user = rustix::process::getuid().as_raw();
    by(store, format!("goldsmith admin (uid {user})"), "")
}

/// The store for changes that the service makes when it starts.
pub fn by_service(store: &Store) -> Store {
    by(store, SERVICE.to_owned(), "")
}

/// The store for changes of the directory by a client.
pub fn by_client(store: &Store, caller: &arm::Caller) -> Store {
    by(store, caller.client_id.clone(), &caller.object_id)
}

fn by(store: &Store, name: String, object_id: &str) -> Store {
    let correlation = uuid::Uuid::now_v7().to_string();
    store.recording(Arc::new(Actor { name, object_id: object_id.to_owned(), correlation }))
}

impl Record for Actor {
    fn events(&self, writes: &[Write]) -> Vec<Activity> {
        let mut changes: Vec<(&str, String)> = writes.iter().filter_map(change).collect();
        // A principal and its first secret are one change.
        changes.dedup();
        let told = changes.into_iter().map(|(action, resource)| {
            let origin = self.origin(action, resource);
            event(
                "",
                &origin,
                &self.correlation,
                Told::new(Status::Succeeded, Some(StatusCode::OK)),
            )
        });
        told.chain(operations("", writes, None)).collect()
    }

    fn written(&self, _writes: &[Write]) {}
}

impl Actor {
    fn origin(&self, action: &str, resource_id: String) -> Origin {
        Origin {
            client_id: self.name.clone(),
            object_id: self.object_id.clone(),
            action: action.to_owned(),
            resource_id,
            correlation_id: self.correlation.clone(),
            request_id: self.correlation.clone(),
            ..Origin::default()
        }
    }
}

/// The action and the resource of a write that changes who may do what.
fn change(write: &Write) -> Option<(&'static str, String)> {
    let principal = |id: &str| format!("/providers/Goldsmith.Directory/servicePrincipals/{id}");
    let role = |id: &str| format!("/providers/Microsoft.Authorization/roleDefinitions/{id}");
    let issuer = |id: &str| format!("/providers/Goldsmith.Directory/trustedIssuers/{id}");
    let of_key = |key: &ResourceKey| key.as_str().to_owned();
    Some(match write {
        Write::InsertAssignment(row) | Write::ReplaceAssignment(row) => {
            ("Microsoft.Authorization/roleAssignments/write", row.id.clone())
        }
        Write::RemoveAssignment(key, _) => {
            ("Microsoft.Authorization/roleAssignments/delete", of_key(key))
        }
        Write::PutRole(row) => ("Microsoft.Authorization/roleDefinitions/write", role(&row.id)),
        Write::RemoveRole(id, _) => ("Microsoft.Authorization/roleDefinitions/delete", role(id)),
        Write::PutLock(row) => ("Microsoft.Authorization/locks/write", row.id.clone()),
        Write::RemoveLock(key, _) => ("Microsoft.Authorization/locks/delete", of_key(key)),
        Write::PutSubscription(row) => {
            ("Microsoft.Resources/subscriptions/write", format!("/subscriptions/{}", row.id))
        }
        Write::Client(client) => {
            ("Goldsmith.Directory/servicePrincipals/write", principal(&client.client_id))
        }
        Write::PutCredential(credential) => {
            ("Goldsmith.Directory/servicePrincipals/write", principal(&credential.owner))
        }
        Write::PutIssuer(row) => ("Goldsmith.Directory/trustedIssuers/write", issuer(&row.issuer)),
        Write::RemoveIssuer(id) => ("Goldsmith.Directory/trustedIssuers/delete", issuer(id)),
        _ => return None,
    })
}
