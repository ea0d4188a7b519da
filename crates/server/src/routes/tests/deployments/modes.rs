//! Previews, Complete mode, rollback, the limit of the history.

use super::*;

#[tokio::test]
async fn preview_after_a_deployment_shows_no_change_for_every_type() {
    let server = Server::with_group().await;
    let body = request(everything(), json!({}));
    let before = server.what_if(&body).await;
    assert_eq!(before.len(), 9);
    assert!(before.iter().all(|change| change.starts_with("Create ")), "{before:?}");
    server.deploy("main", &body).await.unwrap();
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    let preview = server.act("preview", "whatIf", &body).await.unwrap().body.unwrap();
    let after = server.what_if(&body).await;
    assert!(after.iter().all(|change| change.starts_with("NoChange ")), "{after:?} {preview}");
    // A second deployment of the same changes nothing, either.
    server.deploy("again", &body).await.unwrap();
    assert_eq!(state(&server.deployment("again").await), "Succeeded");
}

#[tokio::test]
async fn preview_shows_properties_that_differ_and_resources_that_stay() {
    let server = Server::with_group().await;
    let gallery = |text: &str, tags: Value| {
        json!({
            "type": "Microsoft.Compute/galleries", "apiVersion": "2023-07-03", "name": "gal",
            "location": "westus2", "tags": tags, "properties": { "description": text },
        })
    };
    let both = template(json!([gallery("old", json!({ "a": "1" })), identity("other")]), json!({}));
    server.deploy("main", &request(both, json!({}))).await.unwrap();
    let one = template(json!([gallery("new", json!({ "b": "2" }))]), json!({}));
    let body = request(one.clone(), json!({}));
    assert_eq!(server.what_if(&body).await, ["Modify gal", "Ignore other"]);
    let preview = server.act("preview", "whatIf", &body).await.unwrap().body.unwrap();
    let change = &preview["properties"]["changes"][0];
    let delta: Vec<(&str, &str)> = change["delta"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["propertyChangeType"].as_str().unwrap(), one["path"].as_str().unwrap()))
        .collect();
    assert_eq!(
        delta,
        [("Modify", "properties.description"), ("Create", "tags.b"), ("Delete", "tags.a")]
    );
    assert_eq!(change["before"]["properties"]["description"], "old");
    assert_eq!(change["after"]["properties"]["description"], "new");
    assert_eq!(change["after"]["tags"], json!({ "b": "2" }));

    let complete = request(one.clone(), json!({ "mode": "Complete" }));
    assert_eq!(server.what_if(&complete).await, ["Modify gal", "Delete other"]);
    let ids = request(one, json!({ "whatIfSettings": { "resultFormat": "ResourceIdOnly" } }));
    let preview = server.act("preview", "whatIf", &ids).await.unwrap().body.unwrap();
    let change = &preview["properties"]["changes"][0];
    assert_eq!((&change["changeType"], change.get("after")), (&json!("Deploy"), None));
    server.deploy("main", &complete).await.unwrap();
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    let ids = "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    assert_eq!(names(&server.get(ids).await.unwrap()), Vec::<&str>::new());
    let list = server.get("resourceGroups/rg/deployments/main/operations").await.unwrap();
    let kinds = list["value"].as_array().unwrap().iter();
    assert!(kinds.clone().any(|one| one["properties"]["provisioningOperation"] == "Delete"));
}

#[tokio::test]
async fn complete_mode_keeps_everything_after_a_failure() {
    let server = Server::with_group().await;
    let first = request(template(json!([identity("stays")]), json!({})), json!({}));
    server.deploy("main", &first).await.unwrap();
    let wrong = json!({
        "type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": "2024-07-01",
        "name": "none/x", "properties": { "addressPrefix": "10.1.1.0/24" },
    });
    let body = request(template(json!([wrong]), json!({})), json!({ "mode": "Complete" }));
    server.deploy("main", &body).await.unwrap();
    assert_eq!(state(&server.deployment("main").await), "Failed");
    let ids = "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    assert_eq!(names(&server.get(ids).await.unwrap()), ["stays"]);
}

#[tokio::test]
async fn failed_deployment_is_replaced_by_the_last_successful_one() {
    let server = Server::with_group().await;
    let good = request(template(json!([identity("abc")]), json!({})), json!({}));
    server.deploy("good", &good).await.unwrap();
    let id = "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/abc";
    server.on(Method::Delete, id).await.unwrap();
    let wrong = json!({
        "type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": "2024-07-01",
        "name": "none/x", "properties": { "addressPrefix": "10.1.1.0/24" },
    });
    let body = request(
        template(json!([wrong]), json!({})),
        json!({ "onErrorDeployment": { "type": "LastSuccessful" } }),
    );
    server.deploy("bad", &body).await.unwrap();
    let shown = server.deployment("bad").await;
    assert_eq!(state(&shown), "Failed");
    assert_eq!(
        shown["properties"]["onErrorDeployment"],
        json!({ "type": "LastSuccessful", "deploymentName": "good", "provisioningState": "Succeeded" })
    );
    server.get(id).await.unwrap();
}

/// Deployments of the group, a second after one another. Those that have not ended are active.
async fn history(server: &Server, count: i64, have_ended: bool) -> ResourceKey {
    let scope = ResourceKey::of(&format!("/subscriptions/{S}/resourcegroups/rg"));
    let began: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let state = if have_ended { "Succeeded" } else { "Running" };
    let writes = (0..count).map(|number| {
        let started = began + jiff::SignedDuration::from_secs(number);
        let row = db::Deployment {
            id: format!("/subscriptions/{S}/resourceGroups/Rg/providers/Microsoft.Resources/deployments/d{number}"),
            scope: scope.clone(),
            name: format!("d{number}"),
            revision: 0,
            started,
            ended: have_ended.then_some(started),
            body: json!({ "properties": { "provisioningState": state } }),
            hidden: json!({}),
        };
        Write::InsertDeployment(row, String::new())
    });
    server.app.store().commit(writes.collect()).await.unwrap();
    scope
}

#[tokio::test]
async fn oldest_deployments_are_removed_near_the_limit() {
    let server = Server::with_group().await;
    let scope = history(&server, 775, true).await;
    let body = request(template(json!([]), json!({})), json!({}));
    server.deploy("newest", &body).await.unwrap();
    let left = server.app.store().deployments(&scope).await.unwrap();
    assert_eq!((left.len(), left[0].name.as_str()), (751, "newest"));
    assert_eq!(left[750].name, "d25");
}

#[tokio::test]
async fn active_deployments_are_not_removed_and_leave_no_room() {
    let server = Server::with_group().await;
    let scope = history(&server, 800, false).await;
    let body = request(template(json!([]), json!({})), json!({}));
    let refused = server.deploy("one-more", &body).await;
    assert_eq!(code(refused), (409, "DeploymentQuotaExceeded".into()));
    assert_eq!(server.app.store().deployments(&scope).await.unwrap().len(), 800);
}
