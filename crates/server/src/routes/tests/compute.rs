//! Galleries, image definitions, versions and managed images.

use super::*;

#[tokio::test]
async fn gallery_definition_and_version_are_created_and_changed() {
    let server = Server::with_group().await;
    server.gallery().await;
    let gallery = server.get(&format!("resourcegroups/rg/{COMPUTE}//Galleries/GAL")).await.unwrap();
    assert_eq!(
        gallery["id"],
        format!("/subscriptions/{S}/resourceGroups/Rg/{COMPUTE}/galleries/Gal")
    );
    assert_eq!(gallery["properties"]["identifier"]["uniqueName"], format!("{S}-GAL"));
    let image = server.image("src", json!({})).await.body.unwrap();
    let path = format!("rg/{COMPUTE}/galleries/gal/images/def/versions/1.1.2");
    let body = json!({ "location": "westus2", "tags": {}, "properties": {
        "publishingProfile": { "targetRegions": [{ "name": "westus2" }, { "name": "lab1" }], "replicaCount": 2 },
        "storageProfile": { "source": { "id": image["id"] } },
    } });
    let made = server.put(&path, body.clone()).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.body.unwrap();
    assert_eq!(
        made["id"],
        format!(
            "/subscriptions/{S}/resourceGroups/Rg/{COMPUTE}/galleries/Gal/images/Def/versions/1.1.2"
        )
    );
    let profile = &made["properties"]["publishingProfile"];
    assert_eq!(
        profile["targetRegions"],
        json!([
            { "name": "West US 2", "regionalReplicaCount": 2, "storageAccountType": "Standard_LRS" },
            { "name": "lab1", "regionalReplicaCount": 2, "storageAccountType": "Standard_LRS" },
        ])
    );
    assert_eq!(profile["excludeFromLatest"], false);

    // An update may omit the source; the date stays.
    let mut update = body.clone();
    update["properties"]["storageProfile"] =
        json!({ "osDiskImage": { "hostCaching": "ReadWrite" } });
    update["properties"]["publishingProfile"]["excludeFromLatest"] = json!(true);
    let updated = server.put(&path, update).await.unwrap();
    assert_eq!(updated.status, StatusCode::OK);
    let updated = updated.body.unwrap();
    assert_eq!(
        updated["properties"]["publishingProfile"]["publishedDate"],
        profile["publishedDate"]
    );
    assert_eq!(updated["properties"]["publishingProfile"]["excludeFromLatest"], true);
    assert_eq!(updated["properties"]["storageProfile"]["source"]["id"], image["id"]);

    let full = format!("resourceGroups/{path}");
    let shown = server.get(&format!("{full}?$expand=ReplicationStatus")).await.unwrap();
    // A version without a run has no disk in any region.
    let status = &shown["properties"]["replicationStatus"];
    assert_eq!(status["aggregatedState"], "Unknown");
    assert_eq!(status["summary"][1]["region"], "lab1");
    let plain = server.get(&full).await.unwrap();
    assert_eq!(plain["properties"].get("replicationStatus"), None);

    for wrong in [json!("mars"), json!("westeurope"), Value::Null] {
        let mut body = body.clone();
        body["properties"]["publishingProfile"]["targetRegions"][0]["name"] = wrong;
        let error = server.put(&path, body).await.unwrap_err();
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
        assert!(error.target.unwrap().ends_with("targetRegions[0].name"));
    }
    let bad = server.put(&path.replace("1.1.2", "latest"), body.clone()).await;
    assert_eq!(code(bad), (400, "InvalidResourceName".into()));
    let mut missing = body;
    missing["properties"]["storageProfile"]["source"]["id"] =
        json!(format!("/subscriptions/{S}/resourceGroups/rg/{COMPUTE}/images/no"));
    let missing = server.put(&path.replace("1.1.2", "1.1.3"), missing).await;
    assert_eq!(code(missing), (404, "ResourceNotFound".into()));

    let versions = format!("resourceGroups/rg/{COMPUTE}/galleries/gal/images/def/versions");
    assert_eq!(names(&server.get(&versions).await.unwrap()), ["1.1.2"]);
    let gallery = format!("resourceGroups/rg/{COMPUTE}/galleries/gal");
    let refused = server.on(Method::Delete, &gallery).await;
    assert_eq!(code(refused), (409, "CannotDeleteResource".into()));
    for path in [full, format!("{gallery}/images/def"), gallery] {
        assert_eq!(server.on(Method::Delete, &path).await.unwrap().status, StatusCode::OK);
        assert_eq!(server.on(Method::Delete, &path).await.unwrap().status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn image_from_a_run_is_updated() {
    let server = Server::with_group().await;
    let id = Server::in_subscription(&format!("resourceGroups/Rg/{COMPUTE}/images/made"));
    let properties = json!({
        "hyperVGeneration": "V2", "provisioningState": "Succeeded",
        "storageProfile": {
            "osDisk": {
                "osType": "Linux", "osState": "Generalized", "diskSizeGB": 30,
                "caching": "ReadWrite", "storageAccountType": "Standard_LRS",
            },
            "dataDisks": [], "zoneResilient": false,
        },
    });
    let body = json!({ "location": "westus2", "tags": {}, "properties": properties });
    server.write(&id, "Microsoft.Compute/images", body).await;

    let path = format!("Rg/{COMPUTE}/images/made");
    let mut body = server.get(&format!("resourceGroups/{path}")).await.unwrap();
    body["tags"] = json!({ "a": "b" });
    let updated = server.put(&path, body.clone()).await.unwrap();
    assert_eq!(updated.status, StatusCode::OK);
    assert_eq!(updated.body.unwrap(), body);
    let bare = server.put(&path, json!({ "location": "westus2" })).await.unwrap().body.unwrap();
    assert_eq!((&bare["tags"], &bare["properties"]), (&json!({}), &properties));

    for (pointer, value) in [
        ("/properties/hyperVGeneration", json!("V1")),
        ("/properties/storageProfile/osDisk/osType", json!("Windows")),
        ("/properties/storageProfile/osDisk/blobUri", json!("https://x/other.vhd")),
        ("/properties/storageProfile/osDisk/managedDisk", json!({ "id": "/subscriptions/s/d" })),
    ] {
        let mut other = body.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        other.pointer_mut(parent).unwrap()[field] = value;
        let error = server.put(&path, other).await.unwrap_err();
        assert_eq!(error.code, "PropertyChangeNotAllowed", "{pointer}");
        assert_eq!(error.target.unwrap(), pointer.trim_start_matches('/').replace('/', "."));
    }

    // An update of an image without a run may repeat its source.
    let made = server.image("hand", json!({})).await.body.unwrap();
    let again = server.image("hand", json!({ "a": "b" })).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.body.unwrap()["properties"], made["properties"]);
}

#[tokio::test]
async fn stored_image_is_removed_with_its_resource() {
    let server = Server::with_group().await;
    let store = images::store::Store::open(&server.app.settings().layout);
    for name in ["one", "two"] {
        let id = server.image(name, json!({})).await.body.unwrap()["id"].clone();
        let dir =
            server.app.settings().layout.images().join("managed").join(S).join("rg").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let record = json!({
            "format": 1, "id": id, "kind": "managedImage", "name": name, "version": null,
            "digest": "d", "virtualSize": 1, "actualSize": 1, "created": Timestamp::now(),
            "stamp": { "size": 1, "modifiedSeconds": 1, "modifiedNanos": 0 },
        });
        std::fs::write(dir.join("image.json"), record.to_string()).unwrap();
    }
    assert_eq!(store.list().unwrap().len(), 2);
    let one = format!("resourceGroups/RG/{COMPUTE}/images/ONE");
    assert_eq!(server.on(Method::Delete, &one).await.unwrap().status, StatusCode::OK);
    let left: Vec<_> = store.list().unwrap().into_iter().map(|image| image.record.name).collect();
    assert_eq!(left, ["two"]);
    server.on(Method::Delete, "resourceGroups/rg").await.unwrap();
    assert!(tasks::finish(&server.app, Duration::from_secs(30)).await);
    assert!(store.list().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_definitions_do_not_share_an_identifier() {
    let server = Server::with_group().await;
    server.gallery().await;
    let body = json!({ "location": "westus2", "properties": {
        "osType": "Linux", "osState": "Generalized",
        "identifier": { "publisher": "P", "offer": "o", "sku": "other" },
    } });
    let paths: Vec<String> =
        (0..8).map(|n| format!("Rg/{COMPUTE}/galleries/gal/images/d{n}")).collect();
    let puts = paths.iter().map(|path| server.put(path, body.clone()));
    let results = futures_util::future::join_all(puts).await;
    let (made, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 7));
    for error in refused.into_iter().filter_map(Result::err) {
        assert_eq!(error.code, "Conflict");
        assert!(error.message.contains("are taken by image definition 'd"), "{}", error.message);
    }
}
