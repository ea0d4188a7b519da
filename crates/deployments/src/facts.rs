//! What a template may ask about the service, and about the place that it is deployed to.

use std::sync::Arc;

use arm_template::{Cloud, Facts, Scope, Value};
use authorization::built_in;
use db::Resource;
use jiff::Timestamp;
use providers::{namespaces, subscription};
use serde_json::json;
use service::App;

use crate::{
    manager::Client,
    place::Place,
    request::{Mode, Request},
};

const GROUP: &str = "Microsoft.Resources/resourceGroups";

/// The facts of a deployment that no other one contains.
pub(crate) fn of(app: &App, client: &Client, place: &Place, about: &About<'_>) -> Facts {
    let settings = app.settings();
    let scope = scope(place);
    let tenant = json!({
        "tenantId": settings.tenant, "displayName": "Goldsmith", "country": "", "countryCode": "",
    });
    let deployer = json!({
        "objectId": client.object_id, "tenantId": settings.tenant, "userPrincipalName": "",
    });
    let cloud = Service { app: app.clone(), base_url: client.base_url.clone() };
    Facts {
        location: about.location.filter(|_| place.group.is_none()).map(Arc::from),
        mode: about.mode.name().into(),
        seed: about.seed.into(),
        tenant_id: settings.tenant.as_str().into(),
        tenant: Value::from(&tenant),
        subscription: Some(subscription(app, place)),
        resource_group: place.group.as_ref().map(group),
        deployer: Value::from(&deployer),
        template_link: about.request.template_link.as_ref().map(Value::from),
        cloud: Arc::new(cloud),
        ..Facts::new(about.name, scope, about.now)
    }
}

/// What the facts say about the deployment itself.
pub(crate) struct About<'a> {
    pub(crate) name: &'a str,
    pub(crate) location: Option<&'a str>,
    pub(crate) mode: Mode,
    pub(crate) seed: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) request: &'a Request,
}

/// The scope of a place.
pub(crate) fn scope(place: &Place) -> Scope {
    let subscription = place.subscription.id.as_str().into();
    match &place.group {
        Some(group) => Scope::ResourceGroup { subscription, name: group.name.as_str().into() },
        None => Scope::Subscription(subscription),
    }
}

/// The facts in a group that exists: with what is known about it, and with the stored spelling of its name.
pub(crate) fn in_group(facts: Facts, row: &Resource) -> Facts {
    let name = row.name.as_str().into();
    let scope = match facts.scope.clone() {
        Scope::ResourceGroup { subscription, .. } => Scope::ResourceGroup { subscription, name },
        other => other,
    };
    Facts { scope, resource_group: Some(group(row)), ..facts }
}

/// What `resourceGroup()` gives.
pub(crate) fn group(group: &Resource) -> Value {
    Value::from(&arm::rows::view(GROUP, group))
}

/// What `subscription()` gives.
pub(crate) fn subscription(app: &App, place: &Place) -> Value {
    let body = subscription::body(app, &place.subscription);
    Value::from(&json!({
        "id": body["id"], "subscriptionId": body["subscriptionId"],
        "tenantId": body["tenantId"], "displayName": body["displayName"],
    }))
}

/// This service as a cloud.
struct Service {
    app: App,
    base_url: String,
}

impl Cloud for Service {
    /// As `GET /metadata/endpoints` describes it.
    fn environment(&self) -> Value {
        let base = &self.base_url;
        let host = base.rsplit("://").next().unwrap_or(base);
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        Value::from(&json!({
            "name": "Goldsmith",
            "gallery": format!("{base}/"),
            "graph": format!("{base}/graph/"),
            "portal": format!("{base}/"),
            "graphAudience": format!("{base}/graph/"),
            "activeDirectoryDataLake": format!("{base}/"),
            "batch": format!("{base}/"),
            "media": format!("{base}/"),
            "sqlManagement": format!("{base}/"),
            "vmImageAliasDoc": format!("{base}/metadata/aliases.json"),
            "resourceManager": format!("{base}/"),
            "authentication": {
                "loginEndpoint": format!("{base}/adfs"),
                "audiences": [format!("{base}/"), base, "https://management.azure.com/"],
                "tenant": self.app.settings().tenant,
                "identityProvider": "AAD",
            },
            "suffixes": {
                "acrLoginServer": format!(".azurecr.{host}"),
                "azureDatalakeAnalyticsCatalogAndJob": format!("azuredatalakeanalytics.{host}"),
                "azureDatalakeStoreFileSystem": format!("azuredatalakestore.{host}"),
                "azureFrontDoorEndpointSuffix": format!("azurefd.{host}"),
                "keyvaultDns": format!(".vault.{host}"),
                "sqlServerHostname": format!(".database.{host}"),
                "storage": host,
            },
        }))
    }

    fn provider(&self, namespace: &str) -> Option<Value> {
        let body = namespaces::described(&self.app, namespace)?;
        let types = json!({
            "namespace": body["namespace"], "resourceTypes": body["resourceTypes"],
        });
        Some(Value::from(&types))
    }

    fn role_definition(&self, display_name: &str) -> Option<String> {
        built_in::named(display_name).map(|role| role.id.to_owned())
    }
}
