//! Managed identities. They have no secret: the build machines of runs receive their tokens, and a token
//! is valid until its run ends.

use db::{ResourceKey, RunState, Store};

/// A user-assigned identity that a run's machine may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedIdentity {
    /// Resource id.
    pub id: String,
    pub client_id: String,
    /// The principal's object id.
    pub object_id: String,
    pub run_id: String,
}

impl ManagedIdentity {
    /// The kind of their rows.
    pub const KIND: &str = "microsoft.managedidentity/userassignedidentities";

    /// The identity with that resource id, if it exists.
    pub async fn find(store: &Store, id: &str, run_id: &str) -> Result<Option<Self>, db::Error> {
        let found = store.resource(&ResourceKey::of(id)).await?;
        Ok(found.filter(|resource| resource.kind == Self::KIND).map(|resource| {
            let text = |name: &str| {
                resource.body["properties"][name].as_str().unwrap_or_default().to_owned()
            };
            Self {
                client_id: text("clientId"),
                object_id: text("principalId"),
                run_id: run_id.to_owned(),
                id: resource.id,
            }
        }))
    }

    /// Whether its run is active.
    pub(crate) async fn is_active(&self, store: &Store) -> Result<bool, db::Error> {
        let run = store.run_without_input(&self.run_id).await?;
        Ok(run.is_some_and(|run| matches!(run.state, RunState::Running | RunState::Canceling)))
    }
}
