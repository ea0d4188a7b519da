//! A deployment of many resources that are records only.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Bench, client::Client, row};

/// The resources of each kind; together as many as a template may have.
const IDENTITIES: usize = 200;
const GALLERIES: usize = 50;
const DEFINITIONS: usize = 200;
const NETWORKS: usize = 50;
const SUBNETS: usize = 100;
const ROLES: usize = 150;
const MODULES: usize = 50;
const RESOURCES: usize =
    IDENTITIES + GALLERIES + DEFINITIONS + NETWORKS + SUBNETS + ROLES + MODULES;
/// The limits in milliseconds.
const DEPLOY_MS: f64 = 10_000.0;
const WHAT_IF_MS: f64 = 5_000.0;
/// The pause between two polls.
const PAUSE: Duration = Duration::from_millis(5);

const GALLERY: &str = "Microsoft.Compute/galleries";
const IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";
const NETWORK: &str = "Microsoft.Network/virtualNetworks";
const SCHEMA: &str =
    "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";

/// What-if before and after a deployment, and the deployment.
pub(crate) async fn deployments(bench: &mut Bench) {
    let (server, client) = bench.serve(&[]).await;
    let path = client.path("resourceGroups/load/providers/Microsoft.Resources/deployments/large");
    let body = json!({ "properties": { "mode": "Incremental", "template": template() } });
    println!("deployments: a template of {RESOURCES} resources, {} bytes", body.to_string().len());
    let (before, changes) = what_if(&client, &path, &body).await;
    assert_eq!(changes, ["Create"; RESOURCES], "nothing exists yet");
    let deployed = deploy(&client, &path, &body).await;
    let (after, changes) = what_if(&client, &path, &body).await;
    assert_eq!(changes, ["NoChange"; RESOURCES], "everything is as the template says");
    row(&format!("deploy {RESOURCES} resources"), deployed, DEPLOY_MS);
    row(&format!("what-if of {RESOURCES} resources, none there"), before, WHAT_IF_MS);
    row(&format!("what-if of {RESOURCES} resources, all there"), after, WHAT_IF_MS);
    println!("{:<44} {:>8.1} MB", "deployments: memory", server.rss_mb());
    bench.note("deployments_deploy_ms", deployed);
    bench.note("deployments_what_if_before_ms", before);
    bench.note("deployments_what_if_after_ms", after);
    bench.note("deployments_rss_mb", server.rss_mb());
}

/// The time from the request until the deployment has succeeded, in milliseconds.
async fn deploy(client: &Client, path: &str, body: &Value) -> f64 {
    let started = Instant::now();
    let (_, _, operation) = client.call(Method::PUT, path, Some(body.clone())).await;
    let operation = operation.expect("the URL of the operation");
    loop {
        let status = client.get(&operation).await;
        match status["status"].as_str() {
            Some("Succeeded") => return milliseconds(started),
            Some("Running") => tokio::time::sleep(PAUSE).await,
            _ => panic!("{status}"),
        }
    }
}

/// The time in milliseconds, and the kinds of the changes to resources of the template.
async fn what_if(client: &Client, path: &str, body: &Value) -> (f64, Vec<String>) {
    let started = Instant::now();
    let (_, answer, _) =
        client.call(Method::POST, &format!("{path}/whatIf"), Some(body.clone())).await;
    let time = milliseconds(started);
    assert_eq!(answer["status"], "Succeeded", "{}", answer["error"]);
    let changes = answer["properties"]["changes"].as_array().expect("changes");
    let kinds = changes.iter().map(|change| change["changeType"].as_str().unwrap_or_default());
    // The client's own identity is not of the template.
    (time, kinds.filter(|kind| *kind != "Ignore").map(str::to_owned).collect())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// The template, every resource written out. Some need others.
fn template() -> Value {
    let mut resources = Vec::new();
    resources.extend((0..ROLES).map(assignment));
    resources.extend((0..DEFINITIONS).map(definition));
    resources.extend((0..IDENTITIES).map(|number| identity(&format!("deployed-{number}"))));
    resources.extend((0..GALLERIES).map(|number| {
        let properties = json!({ "description": format!("Images of team {number}") });
        resource(GALLERY, "2023-07-03", &format!("gallery{number}"), properties)
    }));
    resources.extend((0..SUBNETS).map(subnet));
    resources.extend((0..NETWORKS).map(|number| {
        let properties =
            json!({ "addressSpace": { "addressPrefixes": [format!("10.{number}.0.0/16")] } });
        resource(NETWORK, "2024-07-01", &format!("net-{number}"), properties)
    }));
    resources.extend((0..MODULES).map(module));
    whole(&resources)
}

fn whole(resources: &[Value]) -> Value {
    json!({ "$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": resources })
}

fn resource(kind: &str, version: &str, name: &str, properties: Value) -> Value {
    json!({
        "type": kind, "apiVersion": version, "name": name,
        "location": "[resourceGroup().location]", "tags": { "stage": "load" },
        "properties": properties,
    })
}

fn identity(name: &str) -> Value {
    resource(IDENTITY, "2023-01-31", name, json!({}))
}

fn definition(number: usize) -> Value {
    let gallery = format!("gallery{}", number % GALLERIES);
    let mut made = resource(
        &format!("{GALLERY}/images"),
        "2023-07-03",
        &format!("{gallery}/image{number}"),
        json!({
            "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
            "identifier": { "publisher": "load", "offer": "web", "sku": number.to_string() },
        }),
    );
    made["dependsOn"] = json!([format!("[resourceId('{GALLERY}', '{gallery}')]")]);
    made
}

fn subnet(number: usize) -> Value {
    let (network, own) = (number % NETWORKS, number / NETWORKS);
    json!({
        "type": format!("{NETWORK}/subnets"), "apiVersion": "2024-07-01",
        "name": format!("net-{network}/subnet-{own}"),
        "dependsOn": [format!("[resourceId('{NETWORK}', 'net-{network}')]")],
        "properties": { "addressPrefix": format!("10.{network}.{own}.0/24") },
    })
}

fn assignment(number: usize) -> Value {
    json!({
        "type": "Microsoft.Authorization/roleAssignments", "apiVersion": "2022-04-01",
        "name": format!("[guid(resourceGroup().id, '{number}')]"),
        "properties": {
            "roleDefinitionId": "[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'b24988ac-6180-42a0-ab88-20f7382dd24c')]",
            "principalId": format!("[reference(resourceId('{IDENTITY}', 'deployed-{number}')).principalId]"),
            "principalType": "ServicePrincipal",
        },
    })
}

/// A nested deployment of one identity.
fn module(number: usize) -> Value {
    json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01",
        "name": format!("module-{number}"),
        "properties": {
            "mode": "Incremental", "expressionEvaluationOptions": { "scope": "inner" },
            "template": whole(&[identity(&format!("inside-{number}"))]),
        },
    })
}
