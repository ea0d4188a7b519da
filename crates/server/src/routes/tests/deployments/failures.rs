//! What goes wrong, and how it is shown.

use super::*;

/// A definition whose gallery does not exist: the write is refused.
fn orphan() -> Value {
    json!({
        "type": "Microsoft.Compute/galleries/images", "apiVersion": "2023-07-03",
        "name": "none/web", "location": "westus2",
        "properties": {
            "osType": "Linux", "osState": "Generalized",
            "identifier": { "publisher": "me", "offer": "web", "sku": "1" },
        },
    })
}

#[tokio::test]
async fn failure_is_a_chain_and_dependents_are_not_made() {
    let server = Server::with_group().await;
    let mut after = identity("after");
    after["dependsOn"] =
        json!(["[resourceId('Microsoft.Compute/galleries/images', 'none', 'web')]"]);
    let body = template(json!([orphan(), after, identity("beside")]), json!({}));
    let made = server.deploy("bad", &request(body, json!({}))).await.unwrap();
    let url = header(&made, "azure-asyncoperation").unwrap();
    let path = url.strip_prefix("https://localhost:8443").unwrap();
    let polled = server.call(Method::Get, path, "").await.unwrap().body.unwrap();
    assert_eq!(polled["status"], "Failed");
    let error = &polled["error"];
    assert_eq!(error["code"], "DeploymentFailed");
    assert!(error["target"].as_str().unwrap().ends_with("/deployments/bad"));
    assert_eq!(error["details"][0]["code"], "ParentResourceNotFound");
    assert!(
        error["details"][0]["target"].as_str().unwrap().ends_with("/galleries/none/images/web")
    );
    let shown = server.deployment("bad").await;
    assert_eq!((state(&shown), &shown["properties"]["error"]), ("Failed", error));
    let ids = "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    server.get(&format!("{ids}/beside")).await.unwrap();
    assert_eq!(code(server.get(&format!("{ids}/after")).await), (404, "ResourceNotFound".into()));
    let list = server.get("resourceGroups/rg/deployments/bad/operations").await.unwrap();
    let failed: Vec<&Value> = list["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["properties"]["provisioningState"] == "Failed")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["properties"]["statusCode"], "NotFound");
    assert_eq!(failed[0]["properties"]["statusMessage"]["error"]["code"], "ParentResourceNotFound");
}

#[tokio::test]
async fn template_error_has_a_place_and_nothing_is_made() {
    let server = Server::with_group().await;
    let body = "{\"properties\": {\"mode\": \"Incremental\", template:{\n\
        \"$schema\": \"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#\",\n\
        \"contentVersion\": \"1.0.0.0\",\n\
        \"parameters\": {\n  \"extra\": {\n \"type\": \"string\" } },\n\"resources\": []\n}}}";
    let path = Server::in_subscription(&format!("{D}/bad"));
    for path in [path.clone(), format!("{path}/validate")] {
        let method = if path.ends_with("bad") { Method::Put } else { Method::Post };
        let error = server.call(method, &path, body).await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_str()), (400, "InvalidTemplate"));
        assert!(error.message.starts_with("Deployment template validation failed: 'The value for the template parameter 'extra' at line '5' and column '12' is not provided"), "{}", error.message);
        let info = &error.additional_info[0]["info"];
        assert_eq!(info["lineNumber"], 5);
        assert_eq!(info["path"], "properties.template.parameters.extra");
    }
    assert_eq!(code(server.get(&format!("{D}/bad")).await), (404, "DeploymentNotFound".into()));
    let failed = server.call(Method::Post, &format!("{path}/whatIf"), body).await.unwrap();
    assert_eq!(failed.status, StatusCode::OK);
    assert_eq!(failed.body.unwrap()["error"]["code"], "InvalidTemplate");
}

#[tokio::test]
async fn preflight_names_every_wrong_resource() {
    let server = Server::with_group().await;
    let script = json!({
        "type": "Microsoft.Resources/deploymentScripts", "apiVersion": "2023-08-01", "name": "s",
        "location": "westus2", "kind": "AzureCLI", "properties": {},
    });
    let machine = json!({
        "type": "Microsoft.Compute/virtualMachineScaleSets", "apiVersion": "2024-07-01",
        "name": "v", "location": "westus2", "properties": {},
    });
    // Clients can read these, but not make them.
    let of_a_run = json!({
        "type": "Microsoft.Compute/virtualMachines", "apiVersion": "2024-07-01",
        "name": "v", "location": "westus2", "properties": {},
    });
    let mut elsewhere = identity("abc");
    elsewhere["location"] = json!("mars");
    let builder = json!({
        "type": "Microsoft.VirtualMachineImages/imageTemplates", "apiVersion": "2024-02-01",
        "name": "t", "location": "westus2", "properties": {},
    });
    let all = json!([script, machine, of_a_run, elsewhere, builder, identity("fine")]);
    let request = request(template(all, json!({})), json!({}));
    for error in [
        server.deploy("bad", &request).await.unwrap_err(),
        server.act("bad", "validate", &request).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.status.as_u16(), error.code.as_str()),
            (400, "InvalidTemplateDeployment")
        );
        let codes: Vec<&str> = error.details.iter().map(|detail| detail.code.as_str()).collect();
        let types = ["DeploymentScriptsNotSupported", "InvalidResourceType", "InvalidResourceType"];
        assert_eq!(codes[..3], types);
        assert_eq!(codes.len(), 5, "{error:?}");
        assert!(error.details.iter().all(|detail| detail.target.is_some()));
    }
    let ids = "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    assert_eq!(names(&server.get(ids).await.unwrap()), Vec::<&str>::new());
}

#[tokio::test]
async fn condition_that_is_false_excludes_a_type_that_is_not_supported() {
    let server = Server::with_group().await;
    let script = json!({
        "type": "Microsoft.Resources/deploymentScripts", "apiVersion": "2023-08-01", "name": "s",
        "condition": false, "properties": {},
    });
    let mut after = identity("after");
    after["dependsOn"] = json!(["s"]);
    let body = request(template(json!([script, after]), json!({})), json!({}));
    server.deploy("main", &body).await.unwrap();
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
}

#[tokio::test]
async fn output_that_is_wrong_in_any_case_is_refused() {
    let server = Server::with_group().await;
    for value in ["[nothing()]", "[parameters('none')]", "[int('x')]"] {
        let outputs = json!({ "outputs": { "wrong": { "type": "string", "value": value } } });
        let body = request(template(json!([identity("abc")]), outputs), json!({}));
        let refused = server.act("main", "validate", &body).await;
        assert_eq!(code(refused), (400, "InvalidTemplate".into()), "{value}");
        assert_eq!(code(server.deploy("main", &body).await), (400, "InvalidTemplate".into()));
    }
}

#[tokio::test]
async fn parameter_is_an_expression_over_external_inputs() {
    let server = Server::with_group().await;
    let more = json!({
        "parameters": { "name": { "type": "string" } },
        "outputs": { "name": { "type": "string", "value": "[parameters('name')]" } },
    });
    let given = json!({
        "parameters": { "name": { "expression": "[externalInputs('who')]" } },
        "externalInputs": { "who": { "value": "me" } },
    });
    server.deploy("main", &request(template(json!([]), more), given)).await.unwrap();
    let shown = server.deployment("main").await;
    assert_eq!(shown["properties"]["outputs"]["name"]["value"], "me", "{shown}");
}

#[tokio::test]
async fn output_that_cannot_be_evaluated_fails_the_deployment() {
    let server = Server::with_group().await;
    let outputs = json!({ "outputs": { "wrong": {
        "type": "string", "value": "[reference('abc').nothing]",
    } } });
    let body = request(template(json!([identity("abc")]), outputs), json!({}));
    server.deploy("main", &body).await.unwrap();
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Failed");
    let detail = &shown["properties"]["error"]["details"][0];
    assert_eq!(detail["code"], "DeploymentOutputEvaluationFailed");
    assert_eq!(detail["details"][0]["target"], "wrong");
}

#[tokio::test]
async fn validation_shows_what_would_be_made() {
    let server = Server::with_group().await;
    let body = request(everything(), json!({}));
    let valid = server.act("main", "validate", &body).await.unwrap().body.unwrap();
    let properties = &valid["properties"];
    assert_eq!((state(&valid), &properties["duration"]), ("Succeeded", &json!("PT0S")));
    assert_eq!(properties["validatedResources"].as_array().unwrap().len(), 9);
    assert_eq!(properties.get("outputs"), None);
    assert_eq!(names(&server.get(D).await.unwrap()), Vec::<&str>::new());
}

#[tokio::test]
async fn invalid_names_and_scopes_are_refused() {
    let server = Server::with_group().await;
    let body = request(template(json!([]), json!({})), json!({}));
    let long = "x".repeat(65);
    assert_eq!(code(server.deploy(&long, &body).await), (400, "InvalidDeploymentName".into()));
    let missing = "resourceGroups/none/providers/Microsoft.Resources/deployments/a";
    let path = Server::in_subscription(missing);
    let refused = server.call(Method::Put, &path, &body.to_string()).await;
    assert_eq!(code(refused), (404, "ResourceGroupNotFound".into()));
    let head = server.on(Method::Head, missing).await.unwrap();
    assert_eq!(head.status, StatusCode::NOT_FOUND);
    let tenant = "/providers/Microsoft.Resources/deployments/a";
    let refused = server.call(Method::Put, tenant, &body.to_string()).await;
    assert_eq!(code(refused), (400, "ScopeNotSupported".into()));
    let path = Server::in_subscription("providers/Microsoft.Resources/deployments/a");
    let refused = server.call(Method::Put, &path, &body.to_string()).await;
    assert_eq!(code(refused), (400, "LocationRequired".into()));
}
