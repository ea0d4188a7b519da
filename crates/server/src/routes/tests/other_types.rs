//! Identities, networks and storage accounts.

use super::*;

#[tokio::test]
async fn updated_identity_has_the_same_ids() {
    let server = Server::with_group().await;
    let path = "Rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/ide1";
    let made = server.put(path, json!({ "location": "westus2" })).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.body.unwrap();
    for id in ["tenantId", "principalId", "clientId"] {
        assert!(uuid::Uuid::try_parse(made["properties"][id].as_str().unwrap()).is_ok());
    }
    let lower = path.to_lowercase();
    let again =
        server.put(&lower, json!({ "location": "westus2", "tags": { "a": "b" } })).await.unwrap();
    assert_eq!(again.status, StatusCode::OK);
    let again = again.body.unwrap();
    assert_eq!((&again["properties"], &again["id"]), (&made["properties"], &made["id"]));
    let full = format!("resourceGroups/{path}");
    assert_eq!(server.on(Method::Delete, &full).await.unwrap().status, StatusCode::OK);
    assert_eq!(code(server.get(&full).await), (404, "ResourceNotFound".into()));
}

#[tokio::test]
async fn network_and_its_subnets_are_consistent() {
    let server = Server::with_group().await;
    let path = "Rg/providers/Microsoft.Network/virtualNetworks/vnet1";
    let network = |subnets: Value| {
        json!({ "location": "westus2", "properties": {
            "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] }, "dhcpOptions": {}, "subnets": subnets,
        } })
    };
    let one = json!({ "name": "subnet1", "properties": { "addressPrefix": "10.0.0.0/24" } });
    let made = server.put(path, network(json!([one]))).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.body.unwrap();
    let entry = &made["properties"]["subnets"][0];
    assert_eq!(entry["id"], format!("{}/subnets/subnet1", made["id"].as_str().unwrap()));
    assert_eq!(entry["properties"]["provisioningState"], "Succeeded");
    assert_eq!(entry["type"], "Microsoft.Network/virtualNetworks/subnets");

    let full = format!("resourceGroups/{path}");
    let mut subnet = server.get(&format!("{full}/subnets/SUBNET1")).await.unwrap();
    assert_eq!(subnet["properties"]["addressPrefix"], "10.0.0.0/24");
    // The service computes this property; a value from the client is ignored.
    assert_eq!(subnet["properties"]["goldsmith"], json!({ "bound": false, "bridge": null }));
    subnet["properties"]["goldsmith"] = json!({ "bound": true });
    subnet["properties"]["privateLinkServiceNetworkPolicies"] = json!("Disabled");
    let put = server.put(&format!("{path}/subnets/subnet1"), subnet).await.unwrap();
    assert_eq!(put.status, StatusCode::OK);
    let shown = server.get(&full).await.unwrap();
    let policy = |of: &Value| of["properties"]["privateLinkServiceNetworkPolicies"].clone();
    assert_eq!(policy(&shown["properties"]["subnets"][0]), "Disabled");
    let second = json!({ "properties": { "addressPrefix": "10.0.1.0/24" } });
    let put = server.put(&format!("{path}/subnets/two"), second).await.unwrap();
    assert_eq!(put.status, StatusCode::CREATED);
    assert_eq!(names(&server.get(&format!("{full}/subnets")).await.unwrap()), ["subnet1", "two"]);
    let gone = server.on(Method::Delete, &format!("{full}/subnets/subnet1")).await.unwrap();
    assert_eq!(gone.status, StatusCode::OK);
    let shown = server.get(&full).await.unwrap();
    assert_eq!(shown["properties"]["subnets"].as_array().unwrap().len(), 1);
    assert_eq!(shown["properties"]["resourceGuid"], made["properties"]["resourceGuid"]);
    // A subnet that is missing in the network's body is removed.
    server.put(path, network(json!([]))).await.unwrap();
    assert_eq!(
        code(server.get(&format!("{full}/subnets/two")).await),
        (404, "ResourceNotFound".into())
    );
    let orphan =
        server.put(&path.replace("vnet1", "nowhere/subnets/x"), json!({ "properties": {} })).await;
    assert_eq!(code(orphan), (404, "ParentResourceNotFound".into()));
}

#[tokio::test]
async fn put_of_storage_account_never_answers_201() {
    let server = Server::with_group().await;
    let path = "Rg/providers/Microsoft.Storage/storageAccounts/acct1";
    let body =
        json!({ "location": "westus2", "kind": "StorageV2", "sku": { "name": "Standard_LRS" } });
    let made = server.put(path, body).await.unwrap();
    assert_eq!(made.status, StatusCode::OK);
    let endpoint = made.body.unwrap()["properties"]["primaryEndpoints"]["blob"].clone();
    assert_eq!(endpoint, "https://localhost:8443/storage/acct1/");
    let keys = || {
        server.on(
            Method::Post,
            "resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/acct1/listKeys",
        )
    };
    let first = keys().await.unwrap().body.unwrap();
    assert_eq!(first, keys().await.unwrap().body.unwrap());
    assert_ne!(first["keys"][0]["value"], first["keys"][1]["value"]);
    let shown = server.get(&format!("resourceGroups/{path}")).await.unwrap();
    assert!(!shown.to_string().contains(first["keys"][0]["value"].as_str().unwrap()));
    let check = format!("/subscriptions/{S}/providers/Microsoft.Storage/checkNameAvailability");
    for (name, free) in [("acct1", false), ("acct2", true), ("Bad-Name", false)] {
        let body = json!({ "name": name, "type": "Microsoft.Storage/storageAccounts" }).to_string();
        let answer = server.call(Method::Post, &check, &body).await.unwrap().body.unwrap();
        assert_eq!(answer["nameAvailable"], free, "{name}");
    }
}
