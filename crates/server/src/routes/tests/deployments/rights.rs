//! What a deployment's client may not do: found before anything is made, and again at each resource.

use super::*;

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const CONTRIBUTOR: &str = service::roles::CONTRIBUTOR;
const IDENTITY_ID: &str =
    "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities";

impl Server {
    /// A role with what deployments need of themselves.
    async fn deployer(&self) -> String {
        let definition = db::RoleDefinition {
            id: "12345678-0000-0000-0000-000000000000".to_owned(),
            name: "Deployer".to_owned(),
            body: json!({ "permissions": [{ "actions": ["Microsoft.Resources/deployments/*"] }] }),
            revision: 0,
            created: Timestamp::now(),
            changed: Timestamp::now(),
        };
        let id = definition.id.clone();
        self.app.store().commit(vec![Write::PutRole(definition)]).await.unwrap();
        id
    }
}

fn gallery(name: &str) -> Value {
    json!({
        "type": "Microsoft.Compute/galleries", "apiVersion": "2023-07-03", "name": name,
        "location": "westus2", "properties": {},
    })
}

/// An image template that names an identity.
fn builder(identity: &str) -> Value {
    json!({
        "type": "Microsoft.VirtualMachineImages/imageTemplates", "apiVersion": "2024-02-01",
        "name": "t", "location": "westus2",
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { identity: {} } },
        "properties": {
            "source": { "type": "PlatformImage", "publisher": "p", "offer": "o", "sku": "s", "version": "latest" },
            "distribute": [{ "type": "VHD", "runOutputName": "disk" }],
        },
    })
}

async fn deploy(server: &Server, principal: &str, body: &Value) -> Result<Reply, ApiError> {
    server.of(principal, Method::Put, &format!("{D}/main"), body).await
}

async fn nothing_is_made(server: &Server) {
    let galleries = server.get(&format!("resourceGroups/rg/{COMPUTE}/galleries")).await.unwrap();
    assert_eq!(names(&galleries), Vec::<&str>::new());
    assert_eq!(names(&server.get(IDENTITY_ID).await.unwrap()), Vec::<&str>::new());
}

#[tokio::test]
async fn resource_that_the_client_may_not_write_fails_the_whole_before_anything_is_made() {
    let server = Server::with_group().await;
    let one = server.principal("one").await;
    server.grant(&one, CONTRIBUTOR, "resourceGroups/rg").await;
    let role = json!({
        "type": "Microsoft.Authorization/roleAssignments", "apiVersion": "2022-04-01",
        "name": "11111111-0000-0000-0000-000000000001",
        "properties": {
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{READER}"),
            "principalId": one, "principalType": "ServicePrincipal",
        },
    });
    let body =
        request(template(json!([identity("abc"), gallery("g"), role]), json!({})), json!({}));
    let error = deploy(&server, &one, &body).await.unwrap_err();
    assert_eq!((error.status.as_u16(), error.code.as_str()), (400, "InvalidTemplateDeployment"));
    let text = "The template deployment failed with error: 'Authorization failed for template resource '11111111-0000-0000-0000-000000000001' of type 'Microsoft.Authorization/roleAssignments'. The client '";
    assert!(error.message.starts_with(text), "{}", error.message);
    let text = "does not have permission to perform action 'Microsoft.Authorization/roleAssignments/write' at scope '/subscriptions/";
    assert!(error.message.contains(text), "{}", error.message);
    assert_eq!(error.details.len(), 1);
    assert_eq!(error.details[0].code, "AuthorizationFailed");
    nothing_is_made(&server).await;

    // Two at once.
    let two = server.principal("two").await;
    server.grant(&two, READER, "resourceGroups/rg").await;
    let deployments = server.deployer().await;
    server.grant(&two, &deployments, "resourceGroups/rg").await;
    let body = request(template(json!([identity("abc"), gallery("g")]), json!({})), json!({}));
    let error = deploy(&server, &two, &body).await.unwrap_err();
    assert!(
        error.message.starts_with("Deployment failed with multiple errors: 'Authorization failed"),
        "{}",
        error.message
    );
    assert_eq!(error.details.len(), 2);
    nothing_is_made(&server).await;
}

#[tokio::test]
async fn identity_that_the_client_may_not_assign_is_found_before_anything_is_made() {
    let server = Server::with_group().await;
    server.put("other", json!({ "location": "westus2" })).await.unwrap();
    let one = server.principal("one").await;
    server.grant(&one, CONTRIBUTOR, "resourceGroups/rg").await;
    let id = Server::in_subscription(
        "resourceGroups/other/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x",
    );
    let body = request(template(json!([gallery("g"), builder(&id)]), json!({})), json!({}));
    let error = deploy(&server, &one, &body).await.unwrap_err();
    assert_eq!((error.status.as_u16(), error.code.as_str()), (400, "InvalidTemplateDeployment"));
    let detail = &error.details[0];
    assert_eq!(detail.code, "LinkedAuthorizationFailed", "{detail:?}");
    assert!(detail.message.contains("userAssignedIdentities/assign/action"), "{}", detail.message);
    nothing_is_made(&server).await;
}

#[tokio::test]
async fn nested_deployment_in_another_group_needs_its_right_there() {
    let server = Server::with_group().await;
    server.put("other", json!({ "location": "westus2" })).await.unwrap();
    let one = server.principal("one").await;
    server.grant(&one, CONTRIBUTOR, "resourceGroups/rg").await;
    server.grant(&one, READER, "resourceGroups/other").await;
    let module = json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "module",
        "resourceGroup": "other",
        "properties": { "mode": "Incremental", "template": template(json!([]), json!({})) },
    });
    let body = request(template(json!([gallery("g"), module]), json!({})), json!({}));
    let error = deploy(&server, &one, &body).await.unwrap_err();
    assert_eq!(error.code, "InvalidTemplateDeployment");
    assert!(
        error.message.contains("perform action 'Microsoft.Resources/deployments/write' at scope"),
        "{}",
        error.message
    );
    nothing_is_made(&server).await;
}

#[tokio::test]
async fn preview_without_the_right_to_write_needs_the_right_to_read() {
    let server = Server::with_group().await;
    let one = server.principal("one").await;
    let previews = server.deployer().await;
    server.grant(&one, &previews, "resourceGroups/rg").await;
    let what_if = async |level: &str| {
        let more = json!({ "validationLevel": level });
        let body = request(template(json!([gallery("g")]), json!({})), more);
        let reply = server.of(&one, Method::Post, &format!("{D}/main/whatIf"), &body).await;
        reply.unwrap().body.unwrap()
    };
    assert_eq!(what_if("ProviderNoRbac").await["error"]["code"], "InvalidTemplateDeployment");
    server.grant(&one, READER, "resourceGroups/rg").await;
    assert_eq!(what_if("Provider").await["error"]["code"], "InvalidTemplateDeployment");
    let seen = what_if("ProviderNoRbac").await;
    assert_eq!(seen["properties"]["changes"][0]["changeType"], "Create", "{seen}");
}

#[tokio::test]
async fn deployment_continued_after_a_restart_has_the_rights_of_that_time() {
    let mut server = Server::with_group().await;
    let one = server.principal("one").await;
    server.grant(&one, CONTRIBUTOR, "resourceGroups/rg").await;
    // The process ends after it recorded its intents.
    server.app.shutdown().cancel();
    let body = request(template(json!([gallery("g")]), json!({})), json!({}));
    deploy(&server, &one, &body).await.unwrap();
    let rows = server.app.store().assignments_of(&one).await.unwrap();
    let writes = rows.iter().map(|row| Write::RemoveAssignment(row.key(), row.revision));
    server.app.store().commit(writes.collect()).await.unwrap();
    server.restart().await;
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Failed", "{shown}");
    let detail = &shown["properties"]["error"]["details"][0];
    assert_eq!(detail["code"], "AuthorizationFailed", "{shown}");
    nothing_is_made(&server).await;
}

impl Server {
    /// A principal that may write in the group `rg` and only read in the group `other`.
    async fn writer_beside(&self) -> String {
        self.put("other", json!({ "location": "westus2" })).await.unwrap();
        let one = self.principal("one").await;
        self.grant(&one, CONTRIBUTOR, "resourceGroups/rg").await;
        self.grant(&one, READER, "resourceGroups/other").await;
        one
    }

    async fn nothing_is_deployed_in(&self, group: &str) {
        let path = format!("resourceGroups/{group}/providers/Microsoft.Resources/deployments");
        assert_eq!(names(&self.get(&path).await.unwrap()), Vec::<&str>::new());
    }
}

/// A nested deployment in another place, which tells the name of its subscription.
fn module(place: &Value) -> Value {
    let output = json!({ "type": "string", "value": "[subscription().displayName]" });
    let mut module = json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "module",
        "properties": {
            "mode": "Incremental", "expressionEvaluationOptions": { "scope": "inner" },
            "template": template(json!([]), json!({ "outputs": { "name": output } })),
        },
    });
    for (name, value) in place.as_object().into_iter().flatten() {
        module[name] = value.clone();
    }
    module
}

#[tokio::test]
async fn level_of_validation_does_not_spare_a_deployment_the_rights_to_write() {
    let server = Server::with_group().await;
    let one = server.writer_beside().await;
    let module = module(&json!({ "resourceGroup": "other" }));
    for level in ["Provider", "ProviderNoRbac", "Template"] {
        let more = json!({ "validationLevel": level });
        let body = request(template(json!([gallery("g"), module]), json!({})), more);
        let answer = deploy(&server, &one, &body).await;
        server.settle().await;
        server.nothing_is_deployed_in("other").await;
        let error = answer.unwrap_err();
        assert_eq!(error.code, "InvalidTemplateDeployment", "{level}");
        assert_eq!(error.details[0].code, "AuthorizationFailed", "{level}");
        nothing_is_made(&server).await;
        // Validation is spared them: it changes nothing.
        let path = format!("{D}/main/validate");
        let valid = server.of(&one, Method::Post, &path, &body).await;
        assert_eq!(valid.is_ok(), level != "Provider", "{level}");
    }
}

#[tokio::test]
async fn nested_deployment_in_a_strange_subscription_is_refused_as_in_one_that_does_not_exist() {
    const STRANGE: &str = "22222222-2222-3333-4444-555555555555";
    const MISSING: &str = "33333333-2222-3333-4444-555555555555";
    let server = Server::with_group().await;
    let one = server.principal("one").await;
    server.grant(&one, CONTRIBUTOR, "resourceGroups/rg").await;
    let strange = db::Subscription {
        id: STRANGE.to_owned(),
        name: "Secret plans".to_owned(),
        state: "Enabled".to_owned(),
        shares_cache: false,
        created: Timestamp::now(),
    };
    let group = Resource {
        subscription: STRANGE.to_owned(),
        group: "theirs".to_owned(),
        ..Resource::new(
            format!("/subscriptions/{STRANGE}/resourceGroups/theirs"),
            "Microsoft.Resources/resourceGroups",
            json!({ "location": "westus2", "properties": { "provisioningState": "Succeeded" } }),
            json!({}),
        )
    };
    let writes = vec![Write::PutSubscription(strange), Write::Insert(group)];
    server.app.store().commit(writes).await.unwrap();
    let places = [json!({ "location": "westus2" }), json!({ "resourceGroup": "theirs" })];
    for (level, place) in ["Provider", "ProviderNoRbac", "Template"]
        .into_iter()
        .flat_map(|level| places.iter().map(move |place| (level, place)))
    {
        let answers = async |subscription: &str| {
            let mut place = place.clone();
            place["subscriptionId"] = json!(subscription);
            let more = json!({ "validationLevel": level });
            let body = request(template(json!([module(&place)]), json!({})), more);
            let refused = deploy(&server, &one, &body).await;
            server.settle().await;
            let path = format!("{D}/main/validate");
            let validated = match server.of(&one, Method::Post, &path, &body).await {
                Ok(reply) => {
                    reply.body.unwrap_or_default()["properties"]["provisioningState"].clone()
                }
                Err(error) => error.body(),
            };
            let refused = refused.unwrap_err();
            assert_eq!(refused.details[0].code, "AuthorizationFailed", "{level} {place}");
            let answers = format!("{} {validated}", refused.body());
            assert!(!answers.contains("Secret plans"), "{answers}");
            answers.replace(subscription, "")
        };
        assert_eq!(answers(STRANGE).await, answers(MISSING).await, "{level} {place}");
    }
}

#[tokio::test]
async fn nested_deployment_needs_its_right_when_its_turn_comes() {
    let mut server = Server::with_group().await;
    let one = server.writer_beside().await;
    server.grant(&one, CONTRIBUTOR, "resourceGroups/other").await;
    // The process ends after it accepted the deployment.
    server.app.shutdown().cancel();
    let module = module(&json!({ "resourceGroup": "other" }));
    let body = request(template(json!([module]), json!({})), json!({}));
    deploy(&server, &one, &body).await.unwrap();
    let rows = server.app.store().assignments_of(&one).await.unwrap();
    let lost = rows.iter().filter(|row| row.scope.ends_with("other") && row.role == CONTRIBUTOR);
    let writes: Vec<Write> =
        lost.map(|row| Write::RemoveAssignment(row.key(), row.revision)).collect();
    assert_eq!(writes.len(), 1);
    server.app.store().commit(writes).await.unwrap();
    server.restart().await;
    server.nothing_is_deployed_in("other").await;
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Failed", "{shown}");
    let detail = &shown["properties"]["error"]["details"][0];
    assert_eq!(detail["code"], "AuthorizationFailed", "{shown}");
}
