//! Resource types, the service that they share, and the registry of types.

use async_trait::async_trait;
use db::{Resource, ResourceKey};

use serde_json::Value;

use crate::{Actions, ApiError, Call, Context, Reply, Request, Verb, is, rows};

/// What the resource types of a service share.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// The database, the subscription, its regions.
    fn context(&self) -> &Context;

    /// Checks that clients may change or remove a resource, and add others below it.
    ///
    /// # Errors
    /// The reason why not.
    fn may_change(&self, _resource: &Resource) -> Result<(), ApiError> {
        Ok(())
    }

    /// Checks the quota for one more resource of a type.
    ///
    /// # Errors
    /// `QuotaExceeded` in ARM's wording.
    async fn may_add(&self, _kind: &str) -> Result<(), ApiError> {
        Ok(())
    }
}

/// A type of resource. The defaults suit most types: reading, listing, PATCH of tags, and deletion of a
/// resource with its descendants.
#[async_trait]
pub trait ResourceType<S: Service>: Send + Sync {
    /// The actions that clients may ask for, by [`actions!`](crate::actions). Required, so that there is nothing that roles
    /// cannot grant or deny. This compiles:
    ///
    /// ```
    /// use arm::{Actions, ResourceType, Service};
    ///
    /// struct Widgets;
    /// const ACTIONS: Actions = arm::actions!("Example.Lab/widgets");
    /// impl<S: Service> ResourceType<S> for Widgets {
    ///     fn api_versions(&self) -> &'static [&'static str] { &[] }
    ///     fn actions(&self) -> &'static Actions { &ACTIONS }
    /// }
    /// ```
    ///
    /// and without the actions it does not:
    ///
    /// ```compile_fail,E0046
    /// use arm::{Actions, ResourceType, Service};
    ///
    /// struct Widgets;
    /// const ACTIONS: Actions = arm::actions!("Example.Lab/widgets");
    /// impl<S: Service> ResourceType<S> for Widgets {
    ///     fn api_versions(&self) -> &'static [&'static str] { &[] }
    /// }
    /// ```
    fn actions(&self) -> &'static Actions;

    /// Namespace and types, such as `Microsoft.Compute/galleries/images`.
    fn name(&self) -> &'static str {
        self.actions().kind
    }

    /// The supported api-versions, newest first.
    fn api_versions(&self) -> &'static [&'static str];

    /// Whether to reject versions that are not listed, because versions of this type differ in meaning. ARM rejects them
    /// for every type, but clients do not depend on that, and newer clients send newer versions.
    fn is_strict(&self) -> bool {
        false
    }

    /// Why the type is read-only, as the end of a sentence. `None`: clients may write.
    fn read_only(&self) -> Option<&'static str> {
        None
    }

    /// Checks a PUT by its content alone, before anything that it needs exists. Deployments of templates call it for all
    /// resources before they write the first one.
    async fn preflight(&self, _service: &S, _call: &Call) -> Result<(), ApiError> {
        Ok(())
    }

    /// Creates or replaces a resource.
    async fn put(&self, _service: &S, call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
        Err(self.read_only().map_or_else(
            || ApiError::method_not_allowed(call),
            |why| ApiError::read_only(call, why),
        ))
    }

    /// Reads a resource that the store does not have. `None`: look in the store.
    async fn get(
        &self,
        _service: &S,
        _call: &Call,
        _key: &ResourceKey,
    ) -> Result<Option<Reply>, ApiError> {
        Ok(None)
    }

    /// Lists the resources below `parent` that the store does not have. `None`: look in the store.
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

    /// Removes a resource and its descendants.
    async fn delete(&self, service: &S, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        if let Some(why) = self.read_only() {
            return Err(ApiError::read_only(call, why));
        }
        rows::delete(service.context(), call, key).await
    }

    /// Performs one of the declared actions, such as `run`.
    async fn action(
        &self,
        _service: &S,
        call: &Call,
        _key: ResourceKey,
        verb: &'static Verb,
    ) -> Result<Reply, ApiError> {
        Err(no_action(call, self.actions(), verb.name))
    }

    /// The resource in the form of the request's api-version.
    fn view(&self, _service: &S, _call: &Call, resource: &Resource) -> Value {
        rows::view(self.name(), resource)
    }
}

/// 404 for an action that the type does not declare.
pub(crate) fn no_action(request: &Request, actions: &Actions, name: &str) -> ApiError {
    let verbs: Vec<&str> = actions.verbs.iter().map(|verb| verb.name).collect();
    let known = match verbs.as_slice() {
        [] => "has no actions".to_owned(),
        verbs => format!("has the actions {}", verbs.join(", ")),
    };
    ApiError::absent(
        "ResourceNotFound",
        format!(
            "There is no action '{name}' at '{}': the type {} {known}.",
            request.path.text, actions.kind
        ),
    )
}

/// The types of a service.
pub struct Registry<S: Service> {
    types: &'static [&'static dyn ResourceType<S>],
    other_namespaces: &'static [&'static str],
}

impl<S: Service> Registry<S> {
    /// A registry of these types. `other_namespaces` are known but have no types.
    pub const fn new(
        types: &'static [&'static dyn ResourceType<S>],
        other_namespaces: &'static [&'static str],
    ) -> Self {
        Self { types, other_namespaces }
    }

    /// Every type.
    pub fn types(&self) -> &'static [&'static dyn ResourceType<S>] {
        self.types
    }

    /// The type of a namespace and types (`galleries/images`), ignoring case.
    pub fn find(&self, namespace: &str, types: &str) -> Option<&'static dyn ResourceType<S>> {
        let wanted = format!("{namespace}/{types}");
        self.types.iter().copied().find(|kind| is(kind.name(), &wanted))
    }

    /// Every namespace once, sorted.
    pub fn namespaces(&self) -> impl Iterator<Item = &'static str> + use<S> {
        let own = self.types.iter().filter_map(|kind| kind.name().split_once('/'));
        let mut all: Vec<&str> =
            own.map(|(name, _)| name).chain(self.other_namespaces.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    /// 404 `InvalidResourceNamespace`, ARM's answer for an unknown provider.
    pub fn unknown_namespace(&self, namespace: &str) -> ApiError {
        ApiError::absent(
            "InvalidResourceNamespace",
            format!(
                "The resource namespace '{namespace}' is invalid. The namespaces are {}.",
                self.namespaces().collect::<Vec<_>>().join(", ")
            ),
        )
    }
}
