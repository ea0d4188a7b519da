//! Resource providers as a list: what `az provider show` and generic clients read.

use arm::{ApiError, Call, Filter, Method, Reply, region};
use serde_json::{Value, json};
use service::App;

use super::{REGISTRY, image_builder::NAMESPACE};

const RESOURCES: &[&str] = &["2025-04-01", "2024-11-01", "2022-12-01", "2021-04-01", "2020-10-01"];
const ASSIGNMENTS: &[&str] =
    &["2022-04-01", "2020-08-01-preview", "2020-04-01-preview", "2018-09-01-preview"];
const ROLES: &[&str] = &["2022-04-01", "2022-05-01-preview", "2018-01-01-preview"];

/// Types that are served but not registered: namespace, type, versions.
const BESIDE: &[(&str, &str, &[&str])] = &[
    ("Microsoft.Resources", "subscriptions", RESOURCES),
    ("Microsoft.Resources", "resourceGroups", RESOURCES),
    ("Microsoft.Resources", "resources", RESOURCES),
    ("Microsoft.Resources", "tags", RESOURCES),
    ("Microsoft.Resources", "deployments", RESOURCES),
    ("Microsoft.Authorization", "roleAssignments", ASSIGNMENTS),
    ("Microsoft.Authorization", "roleDefinitions", ROLES),
    ("Microsoft.Authorization", "locks", &["2020-05-01", "2016-09-01"]),
    ("Microsoft.Authorization", "permissions", &["2022-04-01", "2018-07-01"]),
    ("Microsoft.Authorization", "denyAssignments", &["2022-04-01"]),
    ("Microsoft.Authorization", "providerOperations", &["2022-04-01", "2018-01-01-preview"]),
    ("Microsoft.Compute", "locations/publishers", &["2026-04-01", "2024-11-01", "2023-07-03"]),
    ("Microsoft.Compute", "locations/vmSizes", &["2026-04-01", "2024-11-01"]),
    ("Microsoft.Compute", "skus", &["2021-07-01", "2019-04-01"]),
    ("Microsoft.Storage", "checkNameAvailability", &["2025-08-01", "2023-01-01"]),
];

/// Namespaces beside those of the registered types: of types served otherwise, and those that scripts register because
/// Azure's image builder uses them; nothing of these is needed here.
pub(super) const OTHERS: &[&str] = &[
    "Microsoft.Resources",
    "Microsoft.Authorization",
    "Microsoft.KeyVault",
    "Microsoft.ContainerInstance",
    "Microsoft.Features",
];

/// `GET …/providers`
pub fn list(app: &App, call: &Call) -> Result<Reply, ApiError> {
    call.only(&[Method::Get])?;
    let value: Vec<Value> = REGISTRY.namespaces().map(|name| body(app, call, name)).collect();
    Ok(Reply::ok(json!({ "value": value })))
}

/// `GET …/providers/{namespace}` and `POST …/register` or `/unregister`: all stay registered.
pub fn show(app: &App, call: &Call, namespace: &str) -> Result<Reply, ApiError> {
    let name = REGISTRY.namespaces().find(|known| known.eq_ignore_ascii_case(namespace));
    let name = name.ok_or_else(|| REGISTRY.unknown_namespace(namespace))?;
    match (call.method, call.path.rest.is_empty()) {
        (Method::Get, true) | (Method::Post, false) => Ok(Reply::ok(body(app, call, name))),
        _ => Err(ApiError::method_not_allowed(call)),
    }
}

/// Types beside the registered ones that a template may have.
const DEPLOYABLE: &[&str] = &[
    "Microsoft.Resources/resourceGroups",
    "Microsoft.Resources/tags",
    "Microsoft.Resources/deployments",
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.Authorization/roleDefinitions",
    "Microsoft.Authorization/locks",
];

/// Whether a template may have resources of a type that is not registered.
pub fn is_deployable(kind: &str) -> bool {
    DEPLOYABLE.iter().any(|known| known.eq_ignore_ascii_case(kind))
}

/// Every type that a template may have.
pub fn deployable() -> Vec<&'static str> {
    let registered = REGISTRY.types().iter().filter(|kind| kind.read_only().is_none());
    let mut all: Vec<_> = registered.map(|kind| kind.name()).chain(DEPLOYABLE.to_vec()).collect();
    all.sort_unstable();
    all
}

/// The namespace as `GET …/providers/{namespace}` describes it.
pub fn described(app: &App, namespace: &str) -> Option<Value> {
    let name = REGISTRY.namespaces().find(|known| known.eq_ignore_ascii_case(namespace))?;
    Some(body_in(app, "", name))
}

/// The version that generic clients use if they are not told one: the newest without a suffix.
fn default_version<'a>(versions: &[&'a str]) -> Option<&'a str> {
    versions.iter().copied().filter(|version| version.len() == "2024-02-01".len()).max()
}

fn body(app: &App, call: &Call, namespace: &str) -> Value {
    let scope = call.path.scope.subscription();
    let scope = scope.map(|id| format!("/subscriptions/{id}")).unwrap_or_default();
    body_in(app, &scope, namespace)
}

fn body_in(app: &App, scope: &str, namespace: &str) -> Value {
    let locations = region::all_displayed(app.context());
    let entry = |kind: &str, versions: &[&str], capabilities: &str| {
        json!({
            "resourceType": kind,
            "locations": locations,
            "apiVersions": versions,
            "defaultApiVersion": default_version(versions),
            "capabilities": capabilities,
        })
    };
    let mut types: Vec<Value> = Vec::new();
    for kind in REGISTRY.types() {
        let Some((own, name)) = kind.name().split_once('/') else { continue };
        if own == namespace {
            types.push(entry(name, kind.api_versions(), "SupportsTags, SupportsLocation"));
        }
    }
    for (own, name, versions) in BESIDE {
        if *own == namespace {
            types.push(entry(name, versions, "None"));
        }
    }
    json!({
        "id": format!("{scope}/providers/{namespace}"),
        "namespace": namespace,
        "resourceTypes": types,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired",
    })
}

/// The names of the image builder's role actions.
const IMAGE_BUILDER: [(&str, &str, &str); 13] = [
    ("register/action", "Image Builder", "Register the image builder resource provider"),
    ("unregister/action", "Image Builder", "Unregister the image builder resource provider"),
    ("imageTemplates/read", "Image Template", "Get or list image templates"),
    ("imageTemplates/write", "Image Template", "Create or update an image template"),
    ("imageTemplates/delete", "Image Template", "Delete an image template"),
    ("imageTemplates/run/action", "Image Template", "Build the image template"),
    ("imageTemplates/cancel/action", "Image Template", "Cancel the build of the image template"),
    ("imageTemplates/runOutputs/read", "Run Output", "Get or list run outputs"),
    ("imageTemplates/triggers/read", "Trigger", "Get or list triggers"),
    ("imageTemplates/triggers/write", "Trigger", "Create or update a trigger"),
    ("imageTemplates/triggers/delete", "Trigger", "Delete a trigger"),
    ("operations/read", "Operation", "List the operations of the resource provider"),
    ("locations/operations/read", "Operation", "Get the status of an operation"),
];

/// `GET /providers/{namespace}/operations`
pub fn operations(namespace: &str) -> Result<Reply, ApiError> {
    let name = REGISTRY.namespaces().find(|known| known.eq_ignore_ascii_case(namespace));
    let name = name.ok_or_else(|| REGISTRY.unknown_namespace(namespace))?;
    let entry = |action: &str, resource: &str, text: &str| {
        json!({
            "name": format!("{name}/{action}"),
            "isDataAction": false,
            "display": {
                "provider": name,
                "resource": resource,
                "operation": text,
                "description": text,
            },
        })
    };
    let value: Vec<Value> = if name == NAMESPACE {
        IMAGE_BUILDER.iter().map(|(action, resource, text)| entry(action, resource, text)).collect()
    } else {
        let kinds = REGISTRY.types().iter().filter_map(|kind| kind.name().split_once('/'));
        let own = kinds.filter(|(own, _)| *own == name);
        let verbs = [("read", "Get"), ("write", "Create or update"), ("delete", "Delete")];
        own.flat_map(|(_, kind)| {
            verbs.map(|(verb, text)| {
                entry(&format!("{kind}/{verb}"), kind, &format!("{text} {kind}"))
            })
        })
        .collect()
    };
    Ok(Reply::ok(json!({ "value": value })))
}

/// `GET …/resources`: resources with a location, in the whole subscription or in a group.
pub async fn resources(app: &App, call: &Call) -> Result<Reply, ApiError> {
    call.only(&[Method::Get])?;
    let text = call.query.get("$filter").map(String::as_str).unwrap_or_default();
    let fields = ["resourceType", "resourceGroup", "name", "tagName", "tagValue", "location"];
    let filter = Filter::parse(text, &fields)?;
    let group = call.path.scope.group();
    if let Some(group) = group {
        arm::group::existing(app.context(), group).await?;
    }
    let select = db::Select {
        subscription: app.subscription().to_lowercase(),
        group: group.or(filter.get("resourceGroup")).map(str::to_lowercase),
        kind: filter.get("resourceType").map(str::to_lowercase),
        ..Default::default()
    };
    let expand = call.query.get("$expand").map(|text| text.to_lowercase()).unwrap_or_default();
    let expand: Vec<&str> = expand.split(',').map(str::trim).collect();
    let keep = |one: &db::Resource| {
        let location = one.body["location"].as_str();
        location.is_some_and(|own| filter.allows("location", own))
            && one.kind != arm::group::KIND
            && filter.allows("resourceType", &one.kind)
            && filter.allows("resourceGroup", &one.group)
            && filter.allows("name", &one.name)
            && crate::resource_group::has_tag(one, &filter)
    };
    let view = |one: &db::Resource| {
        let full = crate::resource_group::view_any(app, call, one);
        let mut short = json!({});
        for field in
            ["id", "name", "type", "location", "tags", "identity", "sku", "kind", "managedBy"]
        {
            if !full[field].is_null() {
                short[field] = full[field].clone();
            }
        }
        if expand.contains(&"createdtime") {
            short["createdTime"] = json!(one.created.to_string());
        }
        if expand.contains(&"changedtime") {
            short["changedTime"] = json!(one.changed.to_string());
        }
        if expand.contains(&"provisioningstate") {
            let state = full["properties"]["provisioningState"].as_str();
            short["provisioningState"] = json!(state.unwrap_or("Succeeded"));
        }
        short
    };
    arm::list(app.context(), call, select, keep, view).await
}
