//! Deployments of templates.

mod failures;
mod modes;
mod nested;
mod restarts;
mod rights;
mod template_specs;

use super::*;

const D: &str = "resourceGroups/Rg/providers/Microsoft.Resources/deployments";
const SCHEMA: &str =
    "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";

/// A template of these resources, with further members.
fn template(resources: Value, more: Value) -> Value {
    let mut template = json!({
        "$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": resources,
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        template[name] = value.clone();
    }
    template
}

fn identity(name: &str) -> Value {
    json!({
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2023-01-31",
        "name": name, "location": "[resourceGroup().location]",
    })
}

fn request(template: Value, more: Value) -> Value {
    let mut properties = json!({ "mode": "Incremental", "template": template });
    for (name, value) in more.as_object().into_iter().flatten() {
        properties[name] = value.clone();
    }
    json!({ "properties": properties })
}

/// One resource of every type that a client may write, except image templates.
fn everything() -> Value {
    let galleries = "Microsoft.Compute/galleries";
    let resources = json!([
        {
            "type": "Microsoft.Authorization/roleAssignments", "apiVersion": "2022-04-01",
            "name": "[guid(resourceGroup().id, 'role')]",
            "properties": {
                "roleDefinitionId": "[resourceId('Microsoft.Authorization/roleDefinitions', 'b24988ac-6180-42a0-ab88-20f7382dd24c')]",
                "principalId": "[reference('builder').principalId]",
                "principalType": "ServicePrincipal",
            },
        },
        {
            "type": format!("{galleries}/images"), "apiVersion": "2023-07-03",
            "name": "[concat(parameters('gallery'), '/web')]", "location": "[variables('place')]",
            "dependsOn": [format!("[resourceId('{galleries}', parameters('gallery'))]")],
            "properties": {
                "osType": "Linux", "osState": "generalized", "hyperVGeneration": "V2",
                "identifier": { "publisher": "me", "offer": "web", "sku": "1" },
                "description": "Web",
            },
        },
        {
            "type": galleries, "apiVersion": "2023-07-03", "name": "[parameters('gallery')]",
            "location": "[variables('place')]", "tags": { "count": "[length('abc')]" },
            "properties": { "description": "Images" },
        },
        identity("builder"),
        {
            "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2024-07-01", "name": "net",
            "location": "West US 2",
            "properties": {
                "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
                "subnets": [{ "name": "one", "properties": { "addressPrefix": "10.0.0.0/24" } }],
            },
        },
        {
            "type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": "2024-07-01",
            "name": "net2/two", "dependsOn": ["net2"],
            "properties": { "addressPrefix": "10.1.1.0/24" },
        },
        {
            "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2024-07-01",
            "name": "net2", "location": "westus2",
            "properties": { "addressSpace": { "addressPrefixes": ["10.1.0.0/16"] } },
        },
        {
            "type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-01-01",
            "name": "[toLower(concat('acc', uniqueString(resourceGroup().id)))]",
            "location": "westus2", "kind": "StorageV2", "sku": { "name": "Standard_LRS" },
            "properties": { "minimumTlsVersion": "TLS1_2" },
        },
        {
            "type": "Microsoft.Compute/images", "apiVersion": "2023-07-01", "name": "image",
            "location": "westus2",
            "properties": { "storageProfile": { "osDisk": {
                "osType": "Linux", "osState": "Generalized", "blobUri": "https://x/y.vhd",
            } } },
        },
    ]);
    template(
        resources,
        json!({
            "parameters": {
                "gallery": { "type": "string", "defaultValue": "Gal" },
                "secret": { "type": "securestring", "defaultValue": "s3cret" },
            },
            "variables": { "place": "[resourceGroup().location]" },
            "outputs": {
                "galleryId": { "type": "string", "value": format!("[resourceId('{galleries}', parameters('gallery'))]") },
                "principal": { "type": "string", "value": "[reference('builder').principalId]" },
                "hidden": { "type": "securestring", "value": "[parameters('secret')]" },
            },
        }),
    )
}

impl Server {
    /// PUT of a deployment to the group. Waits until its task has ended.
    async fn deploy(&self, name: &str, request: &Value) -> Result<Reply, ApiError> {
        let path = Self::in_subscription(&format!("{D}/{name}"));
        let reply = self.call(Method::Put, &path, &request.to_string()).await?;
        self.settle().await;
        Ok(reply)
    }

    async fn settle(&self) {
        assert!(tasks::finish(&self.app, Duration::from_secs(60)).await);
    }

    async fn deployment(&self, name: &str) -> Value {
        self.get(&format!("{D}/{name}")).await.unwrap()
    }

    async fn act(&self, name: &str, action: &str, body: &Value) -> Result<Reply, ApiError> {
        let path = Self::in_subscription(&format!("{D}/{name}/{action}"));
        self.call(Method::Post, &path, &body.to_string()).await
    }

    /// `changeType` and the last part of the id of each change.
    async fn what_if(&self, request: &Value) -> Vec<String> {
        let reply = self.act("preview", "whatIf", request).await.unwrap();
        let body = reply.body.unwrap();
        assert_eq!(body["status"], "Succeeded", "{body}");
        let changes = body["properties"]["changes"].as_array().unwrap();
        let text = |change: &Value| {
            let id = change["resourceId"].as_str().unwrap();
            let name = id.rsplit('/').next().unwrap();
            assert!(change["changeType"] != "Modify" || change["delta"].is_array(), "{change}");
            format!("{} {name}", change["changeType"].as_str().unwrap())
        };
        changes.iter().map(text).collect()
    }
}

fn state(deployment: &Value) -> &str {
    deployment["properties"]["provisioningState"].as_str().unwrap()
}

#[tokio::test]
async fn template_is_deployed_in_the_order_of_dependencies() {
    let server = Server::with_group().await;
    let request = request(everything(), json!({}));
    let made = server.deploy("main", &request).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED);
    let accepted = made.body.clone().unwrap();
    assert_eq!(state(&accepted), "Accepted");
    let id = format!(
        "/subscriptions/{S}/resourceGroups/Rg/providers/Microsoft.Resources/deployments/main"
    );
    assert_eq!(accepted["id"], id);
    assert_eq!(accepted["type"], "Microsoft.Resources/deployments");
    assert_eq!(
        accepted["properties"]["parameters"]["gallery"],
        json!({ "type": "String", "value": "Gal" })
    );
    assert_eq!(accepted["properties"]["parameters"]["secret"], json!({ "type": "SecureString" }));

    let url = header(&made, "azure-asyncoperation").unwrap();
    let path = url.strip_prefix("https://localhost:8443").unwrap();
    let polled = server.call(Method::Get, path, "").await.unwrap().body.unwrap();
    assert_eq!(polled, json!({ "status": "Succeeded" }));
    let shown = server.deployment("MAIN").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    let outputs = &shown["properties"]["outputs"];
    let gallery =
        format!("/subscriptions/{S}/resourceGroups/Rg/providers/Microsoft.Compute/galleries/Gal");
    assert_eq!(outputs["galleryId"], json!({ "type": "String", "value": gallery }));
    assert!(uuid::Uuid::try_parse(outputs["principal"]["value"].as_str().unwrap()).is_ok());
    assert_eq!(outputs["hidden"], json!({ "type": "SecureString" }));
    assert_eq!(shown["properties"]["outputResources"].as_array().unwrap().len(), 9);
    assert_eq!(shown["properties"]["correlationId"], accepted["properties"]["correlationId"]);
    let dependencies = shown["properties"]["dependencies"].as_array().unwrap();
    assert_eq!(dependencies.len(), 3);
    assert!(!shown.to_string().contains("s3cret"));
    assert_eq!(
        server
            .get("resourceGroups/rg/providers/Microsoft.Compute/galleries/gal/images/web")
            .await
            .unwrap()["name"],
        "web"
    );
}

#[tokio::test]
async fn operations_and_history_are_shown() {
    let server = Server::with_group().await;
    let body = request(template(json!([identity("abc")]), json!({})), json!({}));
    server.deploy("one", &body).await.unwrap();
    server.deploy("two", &body).await.unwrap();
    for path in
        [format!("{D}/two/operations"), "resourceGroups/rg/deployments/two/operations".to_owned()]
    {
        let list = server.get(&path).await.unwrap();
        let all = list["value"].as_array().unwrap();
        assert_eq!(all.len(), 2);
        // The newest is first.
        assert_eq!(all[0]["properties"]["provisioningOperation"], "EvaluateDeploymentOutput");
        let create = &all[1]["properties"];
        assert_eq!(
            (&create["provisioningOperation"], &create["provisioningState"]),
            (&json!("Create"), &json!("Succeeded"))
        );
        assert_eq!(create["statusCode"], "OK");
        assert_eq!(create["targetResource"]["resourceName"], "abc");
        let id = all[1]["operationId"].as_str().unwrap();
        let shown = server.get(&format!("resourceGroups/rg/deployments/two/operations/{id}")).await;
        assert_eq!(shown.unwrap(), all[1]);
    }
    assert_eq!(names(&server.get(&format!("{D}/")).await.unwrap()), ["two", "one"]);
    let failed = server.get(&format!("{D}?$filter=provisioningState%20eq%20'Failed'")).await;
    assert_eq!(names(&failed.unwrap()), Vec::<&str>::new());
    let head = |name: &str| format!("{D}/{name}");
    assert_eq!(server.on(Method::Head, &head("one")).await.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(server.on(Method::Head, &head("no")).await.unwrap().status, StatusCode::NOT_FOUND);
    assert_eq!(code(server.get(&head("no")).await), (404, "DeploymentNotFound".into()));
    let gone = server.on(Method::Delete, &head("one")).await.unwrap();
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(code(server.get(&head("one")).await), (404, "DeploymentNotFound".into()));
    // What it made stays.
    server
        .get("resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/abc")
        .await
        .unwrap();
}

#[tokio::test]
async fn body_of_az_is_deployed_and_exported_without_comments() {
    let server = Server::with_group().await;
    let template = "{\r\n\
        \"$schema\": \"https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#\",\r\n\
        \"contentVersion\": \"1.0.0.0\", // a comment\r\n\"resources\": [ ],\r\n\
        \"outputs\": { \"NewNSG\": { /** more **/ \"type\": \"object\", \"value\": { \"a\": 1 } } }\r\n}";
    let body = format!(
        "{{\"properties\": {{\"parameters\": {{}}, \"mode\": \"incremental\", template:{template}}}}}"
    );
    let path = Server::in_subscription(&format!("{D}/az"));
    server.call(Method::Put, &path, &body).await.unwrap();
    server.settle().await;
    let shown = server.deployment("az").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    assert_eq!(shown["properties"]["mode"], "Incremental");
    let exported = server.act("az", "exportTemplate", &json!({})).await.unwrap().body.unwrap();
    assert_eq!(exported["template"]["outputs"]["NewNSG"]["value"], json!({ "a": 1 }));
    let path = "/providers/Microsoft.Resources/calculateTemplateHash";
    let hash = server.call(Method::Post, path, template).await.unwrap();
    assert_eq!(hash.body.unwrap()["templateHash"], shown["properties"]["templateHash"]);
}

#[tokio::test]
async fn group_takes_its_deployments_with_it() {
    let server = Server::with_group().await;
    server.deploy("one", &request(template(json!([]), json!({})), json!({}))).await.unwrap();
    server.on(Method::Delete, "resourceGroups/rg").await.unwrap();
    server.settle().await;
    server.put("Rg", json!({ "location": "westus2" })).await.unwrap();
    assert_eq!(names(&server.get(D).await.unwrap()), Vec::<&str>::new());
}
