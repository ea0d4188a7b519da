//! Resource groups, tags, and the subscription.

use super::*;

#[tokio::test]
async fn group_is_created_changed_and_deleted() {
    let server = Server::start().await;
    let body = json!({ "location": "West US 2", "tags": { "a": "b" }, "managedBy": "me" });
    let made = server.put("Rg", body).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED);
    let expected = json!({
        "id": format!("/subscriptions/{S}/resourceGroups/Rg"), "name": "Rg",
        "type": "Microsoft.Resources/resourceGroups", "location": "westus2", "managedBy": "me",
        "tags": { "a": "b" }, "properties": { "provisioningState": "Succeeded" },
    });
    assert_eq!(made.body.unwrap(), expected);
    assert_eq!(server.get("resourcegroups/RG").await.unwrap(), expected);
    assert_eq!(server.get("/resourcegroups//rg/").await.unwrap(), expected);
    let head = server.on(Method::Head, "resourceGroups/rg").await.unwrap();
    assert_eq!(head.status, StatusCode::NO_CONTENT);
    let again = server.put("rg", json!({ "location": "westus2", "tags": {} })).await.unwrap();
    assert_eq!((again.status, &again.body.unwrap()["tags"]), (StatusCode::OK, &json!({})));

    server.image("one", json!({})).await;
    let gone = server.on(Method::Delete, "resourceGroups/rg").await.unwrap();
    assert_eq!((gone.status, gone.body.clone()), (StatusCode::ACCEPTED, None));
    assert_eq!(header(&gone, "retry-after"), Some("1"));
    assert_eq!(header(&gone, "azure-asyncoperation"), None);
    assert!(tasks::finish(&server.app, Duration::from_secs(30)).await);
    let location = header(&gone, "location").unwrap();
    let path = location.strip_prefix("https://localhost:8443").unwrap();
    let polled = server.call(Method::Get, path, "").await.unwrap();
    assert_eq!((polled.status, polled.body), (StatusCode::OK, None));
    assert_eq!(code(server.get("resourceGroups/rg").await), (404, "ResourceGroupNotFound".into()));
    let head = server.on(Method::Head, "resourceGroups/rg").await.unwrap();
    assert_eq!(head.status, StatusCode::NOT_FOUND);
    let one = format!("/subscriptions/{S}/resourceGroups/rg/{COMPUTE}/images/one");
    assert_eq!(server.app.store().resource(&ResourceKey::of(&one)).await.unwrap(), None);
}

#[tokio::test]
async fn group_in_deletion_rejects_writes_and_deletion_resumes() {
    let server = Server::with_group().await;
    server.image("one", json!({})).await;
    // The state after a crash during the deletion.
    let key = ResourceKey::of(&format!("/subscriptions/{S}/resourceGroups/rg"));
    let mut group = server.app.store().resource(&key).await.unwrap().unwrap();
    group.body["properties"]["provisioningState"] = json!("Deleting");
    let row = db::Operation {
        id: uuid::Uuid::now_v7().to_string(),
        subscription: S.to_owned(),
        kind: "deleteGroup".to_owned(),
        target: key,
        status: db::OperationStatus::InProgress,
        error: None,
        started: Timestamp::now(),
        ended: None,
        origin: None,
    };
    let writes = vec![Write::Replace(group), Write::Operation(row.clone())];
    server.app.store().commit(writes).await.unwrap();

    let path = format!("operationresults/{}", row.id.to_uppercase());
    let polled = server.on(Method::Get, &path).await.unwrap();
    assert_eq!(polled.status, StatusCode::ACCEPTED);
    assert_eq!(header(&polled, "retry-after"), Some("1"));
    assert!(header(&polled, "location").unwrap().contains("/operationresults/"));
    let here = json!({ "location": "westus2" });
    let new = server.put(&format!("rg/{COMPUTE}/galleries/g"), here.clone()).await;
    assert_eq!(code(new), (409, "ResourceGroupBeingDeleted".into()));
    assert_eq!(code(server.put("rg", here).await), (409, "ResourceGroupBeingDeleted".into()));

    providers::resource_group::resume(server.app.clone(), row).await;
    assert!(tasks::finish(&server.app, Duration::from_secs(30)).await);
    assert_eq!(server.on(Method::Get, &path).await.unwrap().status, StatusCode::OK);
    assert_eq!(code(server.get("resourceGroups/rg").await), (404, "ResourceGroupNotFound".into()));
    assert!(server.app.store().unfinished_operations().await.unwrap().is_empty());
}

#[tokio::test]
async fn group_with_active_run_is_not_deleted() {
    let server = Server::with_group().await;
    let template = format!(
        "/subscriptions/{S}/resourcegroups/rg/providers/Microsoft.VirtualMachineImages/imageTemplates/t"
    );
    let run = Run {
        id: uuid::Uuid::now_v7().to_string(),
        template: ResourceKey::of(&template),
        subscription: S.to_owned(),
        operation: uuid::Uuid::now_v7().to_string(),
        state: RunState::Running,
        sub_state: "Building".to_owned(),
        message: String::new(),
        queued: Timestamp::now(),
        ended: None,
        epoch: 1,
        vcpus: 1,
        memory_mib: 1024,
        input: json!({}),
        cause: db::Cause::Manual,
        optimization: None,
        owner: None,
        crashes: 0,
        worked: std::time::Duration::ZERO,
    };
    server.app.store().commit(vec![Write::InsertRun(run)]).await.unwrap();
    let refused = server.on(Method::Delete, "resourceGroups/rg").await;
    assert_eq!(code(refused), (409, "ResourceGroupDeletionBlocked".into()));
    let group = server.get("resourceGroups/rg").await.unwrap();
    assert_eq!(group["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn groups_are_listed_by_tag() {
    let server = Server::start().await;
    for (name, tags) in [("a", json!({ "k": "1" })), ("b", json!({ "k": "2" })), ("c", json!({}))] {
        server.put(name, json!({ "location": "lab1", "tags": tags })).await.unwrap();
    }
    let all = server.get("resourcegroups").await.unwrap();
    assert_eq!(names(&all), ["a", "b", "c"]);
    assert_eq!(all.get("nextLink"), None);
    let filter = "resourcegroups?$filter=tagname%20eq%20'k'%20and%20tagvalue%20eq%20'2'";
    assert_eq!(names(&server.get(filter).await.unwrap()), ["b"]);
    let bad = server.get("resourcegroups?$filter=tagname%20ne%20'k'").await;
    assert_eq!(code(bad), (400, "InvalidFilterInQueryString".into()));
}

#[tokio::test]
async fn tags_of_a_scope_are_merged_replaced_and_deleted() {
    let server = Server::with_group().await;
    server.image("one", json!({ "a": "1" })).await;
    let at = |scope: &str| {
        Server::in_subscription(&format!("{scope}providers/Microsoft.Resources/tags/default"))
    };
    let tags = |reply: Reply| reply.body.unwrap()["properties"]["tags"].clone();
    for scope in [
        String::new(),
        "resourceGroups/rg/".into(),
        format!("resourceGroups/rg/{COMPUTE}/images/one/"),
    ] {
        let path = at(&scope);
        let put = json!({ "properties": { "tags": { "x": "1" } } }).to_string();
        server.call(Method::Put, &path, &put).await.unwrap();
        let merge =
            json!({ "operation": "Merge", "properties": { "tags": { "y": "2" } } }).to_string();
        let merged = server.call(Method::Patch, &path, &merge).await.unwrap();
        assert_eq!(tags(merged), json!({ "x": "1", "y": "2" }));
        let cut =
            json!({ "operation": "Delete", "properties": { "tags": { "x": "1" } } }).to_string();
        server.call(Method::Patch, &path, &cut).await.unwrap();
        assert_eq!(tags(server.call(Method::Get, &path, "").await.unwrap()), json!({ "y": "2" }));
    }
    let image = server.get(&format!("resourceGroups/rg/{COMPUTE}/images/one")).await.unwrap();
    assert_eq!(image["tags"], json!({ "y": "2" }));
    let missing = server.call(Method::Get, &at("resourceGroups/no/"), "").await;
    assert_eq!(code(missing), (404, "ResourceGroupNotFound".into()));
    let names = server.get("tagNames").await.unwrap();
    assert_eq!(names["value"][0]["tagName"], "y");
    assert_eq!(names["value"][0]["values"][0]["tagValue"], "2");
    assert_eq!(names["value"][0]["count"]["value"], 3, "subscription, group and image");
}

#[tokio::test]
async fn tags_of_template_are_rejected_during_provisioning() {
    let server = Server::with_group().await;
    let kind = "Microsoft.VirtualMachineImages/imageTemplates";
    let id = Server::in_subscription(&format!("resourceGroups/Rg/providers/{kind}/t"));
    let path = format!("{id}/providers/Microsoft.Resources/tags/default");
    let put = json!({ "properties": { "tags": { "x": "1" } } }).to_string();
    for state in ["Creating", "Updating", "Deleting", "Failed", "Succeeded"] {
        let body = json!({ "location": "westus2", "properties": { "provisioningState": state } });
        server.write(&id, kind, body).await;
        let answer = server.call(Method::Put, &path, &put).await;
        if ["Failed", "Succeeded"].contains(&state) {
            assert!(answer.is_ok(), "{state}: {answer:?}");
        } else {
            assert_eq!(code(answer), (409, "OperationNotAllowed".into()), "{state}");
        }
    }
}

#[tokio::test]
async fn subscription_is_described() {
    let server = Server::start().await;
    let list = server.call(Method::Get, "/Subscriptions/", "").await.unwrap().body.unwrap();
    assert_eq!(list["value"][0]["subscriptionId"], S);
    assert_eq!(names(&server.get("locations").await.unwrap()), ["westus2", "eastus", "lab1"]);
    let compute = server.get("providers/microsoft.compute").await.unwrap();
    assert_eq!(compute["registrationState"], "Registered");
    let types = compute["resourceTypes"].as_array().unwrap();
    let gallery = types.iter().find(|one| one["resourceType"] == "galleries").unwrap();
    assert_eq!(gallery["locations"], json!(["West US 2", "East US", "lab1"]));
    assert_eq!(gallery["apiVersions"][0], "2026-03-03");
    for verb in ["register", "unregister"] {
        let path = format!("providers/Microsoft.VirtualMachineImages/{verb}");
        let body = server.on(Method::Post, &path).await.unwrap().body.unwrap();
        assert_eq!(body["registrationState"], "Registered");
    }
    let path = "/providers/Microsoft.VirtualMachineImages/operations";
    let operations = server.call(Method::Get, path, "").await.unwrap().body.unwrap();
    assert_eq!(operations["value"].as_array().unwrap().len(), 13);
    let feature =
        "providers/Microsoft.Features/providers/Microsoft.VirtualMachineImages/features/F/register";
    let feature = server.on(Method::Post, feature).await.unwrap().body.unwrap();
    assert_eq!(feature["properties"]["state"], "Registered");
}

#[tokio::test]
async fn catalogue_is_listed_by_publisher_offer_and_sku() {
    let server = Server::start().await;
    let mut path = format!("{COMPUTE}/locations/westus2/publishers");
    for step in ["/artifacttypes/vmimage/offers", "/skus", "/versions", ""] {
        let list = server.get(&path).await.unwrap();
        let name = list.as_array().unwrap()[0]["name"].as_str().unwrap().to_owned();
        path = format!("{path}/{name}{step}");
    }
    let version = server.get(&path).await.unwrap();
    assert!(version["properties"]["osDiskImage"]["operatingSystem"].is_string(), "{version}");
    let id = version["id"].as_str().unwrap().to_lowercase();
    assert_eq!(id, Server::in_subscription(&path).to_lowercase());
    let latest = path.rsplit_once('/').unwrap().0.to_owned();
    assert_eq!(
        server
            .get(&format!("{latest}?$top=1&$orderby=name%20desc"))
            .await
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let skus =
        server.get(&format!("{COMPUTE}/skus?$filter=location%20eq%20'westus2'")).await.unwrap();
    assert!(names(&skus).contains(&"Standard_D2ds_v4"));
}
