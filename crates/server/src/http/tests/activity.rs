//! No secret is in the activity log: a marker in every part of every kind of request does not appear in it.

use std::{collections::BTreeSet, time::Duration};

use ::service::activity::{Folder, keep_streaming};

use serde_json::json;

use super::*;

/// No name or id has it.
const MARKER: &str = "sECRET-7f3a";
const GRAPH: &str = "https://localhost:1/graph//.default";
const GROUP: &str = "resourceGroups/rg";

/// Bodies with a marker in each field that can have any text.
fn bodies() -> Vec<Value> {
    let m = MARKER;
    vec![
        json!({ "location": "westus2", "tags": { m: m }, "identity": { "type": m }, "sku": { "name": m },
            "properties": { m: m, "source": { "type": m, "sha256Checksum": m }, "customize": [
                { "type": "Shell", "name": m, "inline": [m] },
                { "type": "File", "sourceUri": format!("https://h/x?sig={m}"), "destination": m },
            ], "distribute": [{ "type": "VHD", "runOutputName": m, "uri": format!("https://h/x?sig={m}") }] } }),
        json!({ "location": "westus2", "tags": { "note": m } }),
        json!({ "location": "westus2", "kind": "StorageV2", "sku": { "name": "Standard_LRS" } }),
        json!({ "location": "westus2", "properties": { "mode": "Incremental", "parameters": {
            "password": { "value": m } }, "template": {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0", "parameters": { "password": { "type": "secureString" } },
            "resources": [], "outputs": { "o": { "type": "string", "value": m } } } } }),
        json!({ "properties": { "roleDefinitionId": m, "principalId": m, "description": m, "condition": m } }),
        json!({ "properties": { "roleName": m, "description": m, "assignableScopes": [m],
            "permissions": [{ "actions": [m] }] } }),
        json!({ "properties": { "level": m, "notes": m } }),
        json!({ "properties": { "level": "CanNotDelete", "notes": m } }),
        json!({ "operation": "Merge", "properties": { "tags": { "t": m } } }),
        json!({ "keyName": m, "name": m, "type": m }),
        json!({ "displayName": format!("app {m}"), "passwordCredential": { "displayName": m } }),
        Value::String(m.to_owned()),
    ]
}

fn paths() -> Vec<String> {
    let s = format!("/subscriptions/{SUBSCRIPTION}");
    let g = format!("{s}/{GROUP}");
    let mut all = vec![
        s.clone(),
        format!("{s}/resourcegroups"),
        g.clone(),
        format!("{s}/providers/Microsoft.Compute/register"),
        format!("{s}/providers/Microsoft.Insights/eventtypes/management/values"),
        format!("{s}/providers/Microsoft.Storage/checkNameAvailability"),
        format!("{g}/providers/Microsoft.VirtualMachineImages/imageTemplates/t"),
        format!("{g}/providers/Microsoft.VirtualMachineImages/imageTemplates/t/run"),
        format!("{g}/providers/Microsoft.VirtualMachineImages/imageTemplates/t/triggers/x"),
        format!("{g}/providers/Microsoft.Compute/images/i"),
        format!("{g}/providers/Microsoft.Compute/galleries/g"),
        format!("{g}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/u"),
        format!("{g}/providers/Microsoft.Network/virtualNetworks/v"),
        format!("{g}/providers/Microsoft.Storage/storageAccounts/markers"),
        format!("{g}/providers/Microsoft.Storage/storageAccounts/markers/listKeys"),
        format!("{g}/providers/Microsoft.Storage/storageAccounts/markers/regenerateKey"),
        format!("{g}/providers/Microsoft.Resources/templateSpecs/s"),
        format!("{g}/providers/Microsoft.Resources/deployments/d"),
        format!("{g}/providers/Microsoft.Resources/deployments/d/validate"),
        format!("{g}/providers/Microsoft.Resources/deployments/d/whatIf"),
        format!("{g}/providers/Microsoft.Resources/tags/default"),
        "/graph/v1.0/applications".to_owned(),
        "/adfs/oauth2/token".to_owned(),
    ];
    for kind in ["roleAssignments", "roleDefinitions"] {
        let name = "88888888-0000-4000-8000-000000000001";
        all.push(format!("{g}/providers/Microsoft.Authorization/{kind}/{name}"));
    }
    all.push(format!("{s}/resourceGroups/other/providers/Microsoft.Authorization/locks/l"));
    all
}

impl Bench {
    /// A token of a new owner of everything. The refused requests of each caller are all in the log, as they are fewer than 60.
    async fn another(&self, name: &str, scope: &str) -> String {
        let made = roles::create_owner(&self.store, name).await.unwrap();
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={scope}",
            made.client.client_id, made.secret
        );
        let answered = value(self.send("POST", "/adfs/oauth2/token", "", body).await).await;
        answered["access_token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn marker_in_any_part_of_a_request_is_not_in_the_log() {
    let place = Bench::new().await;
    let arm = place.token(ARM).await;
    for group in ["rg", "other"] {
        let path =
            format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}?api-version=2024-07-01");
        let made =
            place.send("PUT", &path, &arm, json!({ "location": "westus2" }).to_string()).await;
        assert_eq!(made.status(), StatusCode::CREATED);
    }
    let mut statuses = BTreeSet::new();
    for (number, path) in paths().into_iter().enumerate() {
        let scope = match path.starts_with("/graph") {
            true => GRAPH,
            false => ARM,
        };
        let token = place.another(&format!("owner-{number}"), scope).await;
        for body in bodies() {
            for method in ["PUT", "PATCH", "POST", "DELETE"] {
                let version = if scope == ARM { "api-version=2022-07-01&" } else { "" };
                let query = format!("{version}sig={MARKER}&$filter={MARKER}&code={MARKER}");
                let request = Request::builder()
                    .method(method)
                    .uri(format!("{path}?{query}"))
                    .header("host", "localhost:1")
                    .header("authorization", format!("Bearer {token}"))
                    .header("x-ms-client-request-id", MARKER)
                    .header("x-ms-correlation-request-id", MARKER)
                    .header("if-match", if method == "DELETE" { MARKER } else { "*" })
                    .header("user-agent", MARKER)
                    .header("content-type", "application/json");
                let request = request.body(Body::from(body.to_string())).unwrap();
                let response = place.router.clone().oneshot(request).await.unwrap();
                statuses.insert(response.status().as_u16());
            }
        }
    }
    let login = format!(
        "grant_type=client_credentials&client_id={MARKER}&client_secret={MARKER}&scope={ARM}"
    );
    place.send("POST", "/adfs/oauth2/token", "", login).await;
    assert!(statuses.contains(&200) || statuses.contains(&201), "{statuses:?}");
    assert!(statuses.contains(&400), "{statuses:?}");

    let files = tempfile::tempdir().unwrap();
    place.app.shutdown().cancel();
    let folder = Folder::new(files.path().to_owned(), Duration::from_secs(24 * 60 * 60));
    keep_streaming(place.app.clone(), folder).await;
    let rows = place.store.activity_after(0, 100_000).await.unwrap();
    assert!(rows.len() > 600, "{}", rows.len());
    assert!(rows.iter().all(|row| row.body["properties"]["more"].is_null()));
    let mut text = format!("{rows:?}");
    for entry in std::fs::read_dir(files.path()).unwrap() {
        text.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let marker = MARKER.to_lowercase();
    let text = text.to_lowercase();
    let at = text.find(&marker).map(|at| &text[at.saturating_sub(1500)..at + 50]);
    assert_eq!(at, None);
    assert!(text.contains("signin"));
    for secret in [&place.ci.secret, &arm] {
        assert!(!text.contains(&secret.to_lowercase()));
    }
}
