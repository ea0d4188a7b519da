//! PATCH, and which staging groups a client may name.

use super::*;

// conformance: 107, 113
#[tokio::test]
async fn patch_replaces_tags_and_refuses_fixed_fields() {
    let service = Service::new().await;
    let mut sent = small();
    sent["tags"] = json!({ "a": "1" });
    service.created("2022-02-14", "t1", &sent).await;
    let reply = service.patch("2022-02-14", "t1", json!({ "tags": { "b": "2" } })).await.unwrap();
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(header(&reply, "location"), header(&reply, "azure-asyncoperation"));
    let body = service.get("2022-02-14", "t1").await;
    assert_eq!(body["tags"], json!({ "b": "2" }));
    assert_eq!(body["properties"]["provisioningState"], "Succeeded");
    assert_eq!(service.operation(&reply).await.status, OperationStatus::Succeeded);
    for (version, change) in [
        ("2024-02-01", json!({ "location": "westus2" })),
        ("2024-02-01", json!({ "properties": { "customize": [] } })),
        ("2024-02-01", json!({ "properties": { "source": { "type": "PlatformImage" } } })),
        ("2022-07-01", json!({ "properties": { "distribute": [] } })),
        ("2023-07-01", json!({ "properties": { "vmProfile": {} } })),
        ("2024-02-01", json!({ "tags": 7 })),
        ("2024-02-01", json!({ "properties": { "vmProfile": { "vmSize": "Nothing" } } })),
    ] {
        let error = service.patch(version, "t1", change).await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_str()), (400, "ValidationFailed"));
    }
    assert_eq!(service.get("2022-02-14", "t1").await, body);
    let error = service.patch("2024-02-01", "none", json!({})).await.unwrap_err();
    assert_eq!(error.status, 404);
}

// conformance: 108, 109
#[tokio::test]
async fn patch_swaps_removes_and_restores_identities() {
    let service = Service::new().await;
    service.created("2022-02-14", "t1", &small()).await;
    let change = |ids: Value| json!({ "identity": { "type": "UserAssigned", "userAssignedIdentities": ids } });
    let two = service.patch("2022-02-14", "t1", change(json!({ identity("ide2"): {} }))).await;
    assert_eq!(two.unwrap_err().code, "ValidationFailed");
    let lower = identity("ide2").to_lowercase();
    let swap = json!({ identity("ide1").to_uppercase(): null, lower.clone(): {} });
    service.patch("2022-02-14", "t1", change(swap)).await.unwrap();
    let body = service.get("2022-02-14", "t1").await;
    assert_eq!(
        body["identity"]["userAssignedIdentities"],
        json!({ lower.clone(): { "principalId": "p-ide2", "clientId": "c-ide2" } })
    );
    let none = json!({ "type": "None" });
    service.patch("2022-02-14", "t1", change(json!({ lower.clone(): null }))).await.unwrap();
    assert_eq!(service.get("2022-02-14", "t1").await["identity"], none);
    service.patch("2022-02-14", "t1", json!({ "identity": none })).await.unwrap();
    service.patch("2022-02-14", "t1", change(json!({ lower.clone(): {} }))).await.unwrap();
    let body = service.get("2022-02-14", "t1").await;
    assert_eq!(body["identity"]["userAssignedIdentities"][&lower]["clientId"], "c-ide2");
}

// conformance: 110, 111, 112
#[tokio::test]
async fn patch_changes_targets_and_refuses_to_remove_one() {
    let service = Service::new().await;
    service.created("2024-02-01", "t1", &small()).await;
    let target = |name: &str, image_id: String| json!({ "type": "ManagedImage", "runOutputName": name, "imageId": image_id, "location": "westus" });
    let patch = async |distribute: Value| {
        let change = json!({ "properties": { "distribute": distribute } });
        service.patch("2024-02-01", "t1", change).await
    };
    let error = patch(json!([target("other", image("x"))])).await.unwrap_err();
    assert_eq!(
        error.message,
        "Validation failed: Distribute target with Runoutput name img1 not found in the update request. Deleting a distribution target is not allowed."
    );
    let error =
        patch(json!([{ "type": "ManagedImage", "runOutputName": "img1", "location": "westus" }]));
    let text = error.await.unwrap_err().message;
    let start =
        "Validation failed: 'ImageTemplate.properties.distribute[0]': Missing field 'imageId'";
    assert!(text.starts_with(start), "{text}");
    patch(json!([target("img1", image("new")), target("more", image("x"))])).await.unwrap();
    let body = service.get("2024-02-01", "t1").await;
    assert_eq!(body["properties"]["distribute"][0]["imageId"], image("new"));
    assert_eq!(body["properties"]["distribute"][1]["artifactTags"], json!({}));

    let size = json!({ "properties": { "vmProfile": { "vmSize": "Standard_D2s_v3" } } });
    service.patch("2024-02-01", "t1", size).await.unwrap();
    let body = service.get("2024-02-01", "t1").await;
    assert_eq!(
        body["properties"]["vmProfile"],
        json!({ "vmSize": "Standard_D2s_v3", "osDiskSizeGB": 0 })
    );
}

// conformance: 36, 117
#[tokio::test]
async fn client_staging_group_is_marked_and_released() {
    let service = Service::new().await;
    let id = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/mine");
    let key = ResourceKey::of(&id);
    let tags = json!({ "a": "b", "cost": "1", "team": "me" });
    service.insert(&id, GROUPS_KIND, json!({ "location": "westus", "tags": tags })).await;
    let mut sent = small();
    sent["properties"]["stagingResourceGroup"] = json!(id);
    let managed = json!({ "cost": "2", "new": "3", "usedBy": "somebody" });
    sent["properties"]["managedResourceTags"] = managed;
    let body = service.created("2024-02-01", "t1", &sent).await;
    assert_eq!(body["properties"]["exactStagingResourceGroup"], json!(id));
    let group = service.row(&key).await.unwrap();
    assert!(group.body["tags"]["usedBy"].as_str().unwrap().ends_with("/imageTemplates/t1"));
    assert_eq!(
        (&group.body["tags"]["cost"], &group.body["tags"]["new"]),
        (&json!("2"), &json!("3"))
    );
    let other = service.created("2024-02-01", "t2", &sent).await;
    let error = &other["properties"]["provisioningError"];
    assert_eq!(error["provisioningErrorCode"], "BadStagingResourceGroup");
    for name in ["t1", "t2"] {
        service.delete(name).await.unwrap();
        service.idle().await;
    }
    assert_eq!(service.row(&key).await.unwrap().body["tags"], tags);

    // It may have no more tags than any resource.
    let mut full = service.row(&key).await.unwrap();
    for number in 0..47 {
        full.body["tags"][format!("t{number}")] = json!("");
    }
    service.app.store().commit(vec![Write::Replace(full)]).await.unwrap();
    let body = service.created("2024-02-01", "t4", &sent).await;
    let error = body["properties"]["provisioningError"]["message"].as_str().unwrap();
    assert!(error.contains("it would have 52 tags, and a resource may have 50"), "{error}");

    // One that does not exist is made under that name, and goes with the template.
    let id = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/absent");
    sent["properties"]["stagingResourceGroup"] = json!(id);
    service.created("2024-02-01", "t3", &sent).await;
    assert!(service.row(&ResourceKey::of(&id)).await.is_some());
    service.delete("t3").await.unwrap();
    service.idle().await;
    assert!(service.row(&ResourceKey::of(&id)).await.is_none());
}
