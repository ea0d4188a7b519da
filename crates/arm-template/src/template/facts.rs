//! What a deployment knows beside its template and parameters.

use std::{fmt, sync::Arc};

use jiff::Timestamp;

use super::Scope;
use arm_expression::{Environment, Limits, Object, Place, Value};

/// The facts of one deployment. The same facts, template and parameters give the same plan, so a caller that keeps them
/// can plan again after a restart.
#[derive(Clone)]
pub struct Facts {
    /// The deployment's name.
    pub name: Arc<str>,
    /// Where it puts its resources.
    pub scope: Scope,
    /// Where the deployment itself is kept; absent in a resource group.
    pub location: Option<Arc<str>>,
    /// `Incremental` or `Complete`, as `deployment()` gives it.
    pub mode: Arc<str>,
    /// The instant of `utcNow`.
    pub now: Timestamp,
    /// What `newGuid` is derived from: a random text for each deployment, which its nested deployments share.
    pub seed: Arc<str>,
    /// The tenant's id.
    pub tenant_id: Arc<str>,
    /// What `tenant()` gives.
    pub tenant: Value,
    /// What `managementGroup()` gives; unknown if absent.
    pub management_group: Option<Value>,
    /// What `subscription()` gives; unknown if absent.
    pub subscription: Option<Value>,
    /// What `resourceGroup()` gives; unknown if absent, as in a preview when the group does not exist yet. Its `id` and
    /// `name` are known from [`scope`](Self::scope) even then.
    pub resource_group: Option<Value>,
    /// What `deployer()` gives.
    pub deployer: Value,
    /// The `templateLink` of `deployment()`; absent if the template was sent with the request.
    pub template_link: Option<Value>,
    /// The cloud.
    pub cloud: Arc<dyn Cloud>,
    /// Whether this is a preview: what is not known yet is then not an error.
    pub preview: bool,
    /// Limits of planning, and of each later evaluation.
    pub limits: Limits,
    /// Ends an evaluation when it answers `true`, such as after a deadline.
    pub stop: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

/// What expressions may ask about the cloud. None of it depends on the deployment.
pub trait Cloud: Send + Sync {
    /// What `environment()` gives.
    fn environment(&self) -> Value;

    /// What `providers(namespace)` gives: `{namespace, resourceTypes: [{resourceType, locations, apiVersions}]}`.
    fn provider(&self, namespace: &str) -> Option<Value>;

    /// The name (a UUID) of the built-in role with this display name.
    fn role_definition(&self, display_name: &str) -> Option<String>;
}

impl Facts {
    /// The facts of a deployment in a place of which only ids are known, at an instant, in [`PublicCloud`].
    pub fn new(name: &str, scope: Scope, now: Timestamp) -> Self {
        let tenant_id: Arc<str> = "00000000-0000-0000-0000-000000000000".into();
        let subscription = scope.subscription().map(|id| subscription(id, &tenant_id));
        Self {
            name: name.into(),
            scope,
            location: None,
            mode: "Incremental".into(),
            now,
            seed: name.into(),
            tenant: object([("tenantId", Value::from(tenant_id.clone()))]),
            tenant_id,
            management_group: None,
            subscription,
            resource_group: None,
            deployer: Object::new().into(),
            template_link: None,
            cloud: Arc::new(PublicCloud),
            preview: false,
            limits: Limits::default(),
            stop: None,
        }
    }

    /// The facts of a deployment that this one contains. What is known about the subscription and the resource group is
    /// kept only if they are the same; otherwise the caller fills it in.
    pub fn nested(&self, name: &str, scope: Scope, location: Option<&str>) -> Self {
        let same_subscription = scope.subscription() == self.scope.subscription();
        let subscription = match self.subscription.clone().filter(|_| same_subscription) {
            Some(known) => Some(known),
            None => scope.subscription().map(|id| subscription(id, &self.tenant_id)),
        };
        Self {
            name: name.into(),
            location: location.map(Arc::from),
            mode: "Incremental".into(),
            management_group: self.management_group.clone().filter(|_| scope == self.scope),
            subscription,
            resource_group: self.resource_group.clone().filter(|_| scope == self.scope),
            template_link: None,
            scope,
            ..self.clone()
        }
    }

    pub(super) fn environment(&self, place: Place) -> Environment {
        Environment {
            place,
            now: self.now,
            tenant: self.tenant_id.clone(),
            management_group: self.scope.management_group().cloned(),
            subscription: self.scope.subscription().cloned(),
            resource_group: self.scope.resource_group().cloned(),
        }
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("name", &self.name)
            .field("scope", &self.scope)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

fn subscription(id: &Arc<str>, tenant_id: &Arc<str>) -> Value {
    object([
        ("id", format!("/subscriptions/{id}").into()),
        ("subscriptionId", id.clone().into()),
        ("tenantId", tenant_id.clone().into()),
        ("displayName", id.clone().into()),
    ])
}

pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().collect())
}

/// Azure's public cloud, as far as templates ask about it, for callers without one of their own. It knows no provider
/// and no role.
#[derive(Debug, Clone, Copy, Default)]
pub struct PublicCloud;

impl Cloud for PublicCloud {
    fn environment(&self) -> Value {
        let suffixes = object([
            ("acrLoginServer", ".azurecr.io".into()),
            ("azureDatalakeAnalyticsCatalogAndJob", "azuredatalakeanalytics.net".into()),
            ("azureDatalakeStoreFileSystem", "azuredatalakestore.net".into()),
            ("azureFrontDoorEndpointSuffix", "azurefd.net".into()),
            ("keyvaultDns", ".vault.azure.net".into()),
            ("sqlServerHostname", ".database.windows.net".into()),
            ("storage", "core.windows.net".into()),
        ]);
        let audiences = ["https://management.core.windows.net/", "https://management.azure.com/"];
        let authentication = object([
            ("loginEndpoint", "https://login.microsoftonline.com/".into()),
            ("audiences", audiences.into_iter().map(Value::from).collect::<Vec<_>>().into()),
            ("tenant", "common".into()),
            ("identityProvider", "AAD".into()),
        ]);
        object([
            ("name", "AzureCloud".into()),
            ("gallery", "https://gallery.azure.com/".into()),
            ("graph", "https://graph.windows.net/".into()),
            ("portal", "https://portal.azure.com".into()),
            ("graphAudience", "https://graph.windows.net/".into()),
            ("activeDirectoryDataLake", "https://datalake.azure.net/".into()),
            ("batch", "https://batch.core.windows.net/".into()),
            ("media", "https://rest.media.azure.net".into()),
            ("sqlManagement", "https://management.core.windows.net:8443/".into()),
            (
                "vmImageAliasDoc",
                "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/master/arm-compute/quickstart-templates/aliases.json".into(),
            ),
            ("resourceManager", "https://management.azure.com/".into()),
            ("authentication", authentication),
            ("suffixes", suffixes),
        ])
    }

    fn provider(&self, _namespace: &str) -> Option<Value> {
        None
    }

    fn role_definition(&self, _display_name: &str) -> Option<String> {
        None
    }
}
