//! Deployments in deployments, and deployments to the subscription.

use super::*;

fn nested(name: &str, properties: Value, more: Value) -> Value {
    let mut resource = json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": name,
        "properties": { "mode": "Incremental" },
    });
    for (field, value) in properties.as_object().into_iter().flatten() {
        resource["properties"][field] = value.clone();
    }
    for (field, value) in more.as_object().into_iter().flatten() {
        resource[field] = value.clone();
    }
    resource
}

fn inner() -> Value {
    json!({ "scope": "inner" })
}

#[tokio::test]
async fn subscription_deployment_makes_a_group_and_deploys_into_it() {
    let server = Server::start().await;
    let group = json!({
        "type": "Microsoft.Resources/resourceGroups", "apiVersion": "2022-09-01", "name": "New",
        "location": "westus2", "properties": {},
    });
    let inside = template(
        json!([{
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2023-01-31",
            "name": "[parameters('name')]", "location": "[resourceGroup().location]",
        }]),
        json!({
            "parameters": { "name": { "type": "string" } },
            "outputs": { "id": { "type": "string", "value": "[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', parameters('name'))]" } },
        }),
    );
    let module = nested(
        "module",
        json!({
            "expressionEvaluationOptions": inner(), "template": inside,
            "parameters": { "name": { "value": "[variables('name')]" } },
        }),
        json!({ "resourceGroup": "new", "dependsOn": ["[subscriptionResourceId('Microsoft.Resources/resourceGroups', 'New')]"] }),
    );
    let outputs = json!({
        "variables": { "name": "builder" },
        "outputs": { "id": { "type": "string", "value": "[reference('module').outputs.id.value]" } },
    });
    let mut body = request(template(json!([group, module]), outputs), json!({}));
    body["location"] = json!("westus2");
    let path = Server::in_subscription("providers/Microsoft.Resources/deployments/sub");
    let what_if = server.call(Method::Post, &format!("{path}/whatIf"), &body.to_string()).await;
    let what_if = what_if.unwrap().body.unwrap();
    let kinds: Vec<&Value> = what_if["properties"]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| &change["changeType"])
        .collect();
    assert_eq!(kinds, ["Create", "Create"], "{what_if}");
    let made = server.call(Method::Put, &path, &body.to_string()).await.unwrap();
    assert_eq!(made.body.unwrap()["location"], "westus2");
    server.settle().await;
    let shown = server.get("providers/Microsoft.Resources/deployments/sub").await.unwrap();
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    let id = format!(
        "/subscriptions/{S}/resourceGroups/New/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder"
    );
    assert_eq!(shown["properties"]["outputs"]["id"]["value"], id);
    let module = server
        .get("resourceGroups/new/providers/Microsoft.Resources/deployments/module")
        .await
        .unwrap();
    assert_eq!(state(&module), "Succeeded");
    let exported = server
        .call(Method::Post, &format!("/subscriptions/{S}/resourceGroups/new/providers/Microsoft.Resources/deployments/module/exportTemplate"), "")
        .await
        .unwrap();
    assert!(exported.body.unwrap()["template"]["parameters"]["name"].is_object());
    assert_eq!(
        names(&server.get("providers/Microsoft.Resources/deployments").await.unwrap()),
        ["sub"]
    );

    body["location"] = json!("eastus");
    let moved = server.call(Method::Put, &path, &body.to_string()).await;
    assert_eq!(code(moved), (409, "InvalidDeploymentLocation".into()));
}

#[tokio::test]
async fn outer_scope_sees_the_names_around_it() {
    let server = Server::with_group().await;
    let inside = template(
        json!([{
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2023-01-31",
            "name": "[concat(variables('prefix'), '-id')]", "location": "westus2",
            "tags": { "who": "[reference(resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'first'), '2023-01-31').principalId]" },
        }]),
        json!({}),
    );
    let module = nested("module", json!({ "template": inside }), json!({ "dependsOn": ["first"] }));
    let body =
        template(json!([identity("first"), module]), json!({ "variables": { "prefix": "outer" } }));
    server.deploy("main", &request(body, json!({}))).await.unwrap();
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    let ids = "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    let made = server.get(&format!("{ids}/outer-id")).await.unwrap();
    let first = server.get(&format!("{ids}/first")).await.unwrap();
    assert_eq!(made["tags"]["who"], first["properties"]["principalId"]);
}

#[tokio::test]
async fn failure_of_a_nested_deployment_is_a_chain() {
    let server = Server::with_group().await;
    let wrong = json!({
        "type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": "2024-07-01",
        "name": "none/x", "properties": { "addressPrefix": "10.1.1.0/24" },
    });
    let inside = template(json!([wrong]), json!({}));
    let module = nested(
        "module",
        json!({ "template": inside, "expressionEvaluationOptions": inner() }),
        json!({}),
    );
    server.deploy("main", &request(template(json!([module]), json!({})), json!({}))).await.unwrap();
    let shown = server.deployment("main").await;
    let outer = &shown["properties"]["error"];
    assert_eq!(outer["code"], "DeploymentFailed");
    let failure = &outer["details"][0];
    assert_eq!(failure["code"], "ResourceDeploymentFailure");
    assert!(failure["target"].as_str().unwrap().ends_with("/deployments/module"));
    let inner = &failure["details"][0];
    assert_eq!(inner["code"], "DeploymentFailed");
    assert_eq!(inner["details"][0]["code"], "ParentResourceNotFound");
}

#[tokio::test]
async fn empty_nested_deployment_succeeds() {
    let server = Server::with_group().await;
    let telemetry = nested(
        "[concat('46d3xbcp.', substring(uniqueString(deployment().name, resourceGroup().location), 0, 4))]",
        json!({ "template": template(json!([]), json!({})) }),
        json!({}),
    );
    server
        .deploy("main", &request(template(json!([telemetry]), json!({})), json!({})))
        .await
        .unwrap();
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    assert_eq!(server.get(D).await.unwrap()["value"].as_array().unwrap().len(), 2);
}
