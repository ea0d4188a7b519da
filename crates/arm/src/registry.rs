//! What a type of resource is, what a service says of all of them, and the list of the types that it serves.

use async_trait::async_trait;
use db::{Resource, ResourceKey};

use http::StatusCode;
use serde_json::Value;

use crate::{ApiError, Call, Context, Reply, is, rows};

/// A service over ARM: what its resource types share, and what it says of all of them.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// The database, the subscription, its regions.
    fn context(&self) -> &Context;

    /// Whether clients may change or remove that resource, and put others below it.
    ///
    /// # Errors
    /// Why not.
    fn may_change(&self, _resource: &Resource) -> Result<(), ApiError> {
        Ok(())
    }

    /// Whether there is room for one more resource of that type.
    ///
    /// # Errors
    /// `QuotaExceeded`, in ARM's words.
    async fn may_add(&self, _kind: &str) -> Result<(), ApiError> {
        Ok(())
    }
}

/// A type of resource. The defaults do what most types need: read, list, PATCH of tags, deletion with
/// all children.
#[async_trait]
pub trait ResourceType<S: Service>: Send + Sync {
    /// Namespace and types, such as `Microsoft.Compute/galleries/images`.
    fn name(&self) -> &'static str;

    /// The api-versions that are honoured, newest first; each must be read by a client as it stands.
    fn api_versions(&self) -> &'static [&'static str];

    /// Whether the versions differ in what they mean, so that no other than the listed ones are taken. ARM itself refuses
    /// any version that a type does not list; clients of most types do not depend on it, and new ones ask for newer
    /// versions than a service lists.
    fn is_strict(&self) -> bool {
        false
    }

    /// Why clients only read them, as the end of a sentence. `None`: they may write.
    fn read_only(&self) -> Option<&'static str> {
        None
    }

    /// Creates or replaces.
    async fn put(&self, _service: &S, call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
        Err(self.read_only().map_or_else(
            || ApiError::method_not_allowed(call),
            |why| ApiError::read_only(call, why),
        ))
    }

    /// Reads one that is not a stored resource. `None`: it is in the store, if anywhere.
    async fn get(
        &self,
        _service: &S,
        _call: &Call,
        _key: &ResourceKey,
    ) -> Result<Option<Reply>, ApiError> {
        Ok(None)
    }

    /// Lists what are no stored resources, below `parent`. `None`: they are in the store, if anywhere.
    async fn list(
        &self,
        _service: &S,
        _call: &Call,
        _parent: &ResourceKey,
    ) -> Result<Option<Reply>, ApiError> {
        Ok(None)
    }

    /// Changes some fields.
    async fn patch(&self, service: &S, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        if let Some(why) = self.read_only() {
            return Err(ApiError::read_only(call, why));
        }
        rows::patch_tags(self.name(), service.context(), call, key).await
    }

    /// Removes it with everything in it.
    async fn delete(&self, service: &S, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        if let Some(why) = self.read_only() {
            return Err(ApiError::read_only(call, why));
        }
        rows::delete(service.context(), call, key).await
    }

    /// An action such as `run`, in lower case.
    async fn action(
        &self,
        _service: &S,
        call: &Call,
        _key: ResourceKey,
        action: &str,
    ) -> Result<Reply, ApiError> {
        Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!("There is no action '{action}' at '{}'.", call.path.text),
        ))
    }

    /// The resource as the caller's api-version sees it.
    fn view(&self, _service: &S, _call: &Call, resource: &Resource) -> Value {
        rows::view(self.name(), resource)
    }
}

/// The types that a service has; made once, and handed in where requests are answered.
pub struct Registry<S: Service> {
    types: &'static [&'static dyn ResourceType<S>],
    beside: &'static [&'static str],
}

impl<S: Service> Registry<S> {
    /// Of these types. `beside` are namespaces that are known though none of the types is in them.
    pub const fn new(
        types: &'static [&'static dyn ResourceType<S>],
        beside: &'static [&'static str],
    ) -> Self {
        Self { types, beside }
    }

    /// Every type.
    pub fn types(&self) -> &'static [&'static dyn ResourceType<S>] {
        self.types
    }

    /// The type of that namespace and those types (`galleries/images`), whatever the case.
    pub fn find(&self, namespace: &str, types: &str) -> Option<&'static dyn ResourceType<S>> {
        let wanted = format!("{namespace}/{types}");
        self.types.iter().copied().find(|kind| is(kind.name(), &wanted))
    }

    /// Every namespace, each once, in the order of their names.
    pub fn namespaces(&self) -> impl Iterator<Item = &'static str> + use<S> {
        let own = self.types.iter().filter_map(|kind| kind.name().split_once('/'));
        let mut all: Vec<&str> =
            own.map(|(name, _)| name).chain(self.beside.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    /// 404 `InvalidResourceNamespace`, as ARM answers for a provider that it does not know.
    pub fn unknown_namespace(&self, namespace: &str) -> ApiError {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "InvalidResourceNamespace",
            format!(
                "The resource namespace '{namespace}' is invalid. There are {}.",
                self.namespaces().collect::<Vec<_>>().join(", ")
            ),
        )
    }
}
