//! Lists, preconditions and invalid requests.

use super::*;

#[tokio::test]
async fn long_list_is_paged() {
    let server = Server::with_group().await;
    for index in 0..205 {
        server.image(&format!("i{index:03}"), json!({ "odd": (index % 2).to_string() })).await;
    }
    let mut path =
        Server::in_subscription("resources?$filter=resourceType%20eq%20'microsoft.compute/images'");
    let (mut sizes, mut seen) = (Vec::new(), Vec::new());
    loop {
        let page = server.call(Method::Get, &path, "").await.unwrap().body.unwrap();
        sizes.push(page["value"].as_array().unwrap().len());
        seen.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page.get("nextLink") else { break };
        path = next.as_str().unwrap().strip_prefix("https://localhost:8443").unwrap().to_owned();
    }
    assert_eq!(sizes, [100, 100, 5]);
    seen.dedup();
    assert_eq!(seen.len(), 205);

    let images = format!("resourceGroups/rg/{COMPUTE}/images");
    let page = server.get(&format!("{images}?$top=2")).await.unwrap();
    assert_eq!(names(&page), ["i000", "i001"]);
    let odd = "resources?$filter=tagName%20eq%20'odd'%20and%20tagValue%20eq%20'1'&$top=100";
    let page = server.get(odd).await.unwrap();
    assert_eq!(names(&page).len(), 100);
    assert!(page["nextLink"].as_str().unwrap().contains("tagValue"));
    let name = "resourceGroups/rg/resources?$filter=name%20eq%20'I007'&$expand=createdTime,provisioningState";
    let page = server.get(name).await.unwrap();
    assert_eq!(names(&page), ["i007"]);
    assert_eq!(page["value"][0]["provisioningState"], "Succeeded");
    assert!(page["value"][0]["createdTime"].is_string());
    assert_eq!(page["value"][0].get("properties"), None);
    assert_eq!(page.get("nextLink"), None);
    for (query, wanted) in [
        ("$top=0", "InvalidTopQueryParameter"),
        ("$skiptoken=%20", "InvalidSkipToken"),
        ("$filter=size%20eq%20'1'", "InvalidFilterInQueryString"),
    ] {
        assert_eq!(code(server.get(&format!("resources?{query}")).await), (400, wanted.into()));
    }
}

#[tokio::test]
async fn write_with_failed_precondition_is_rejected() {
    let server = Server::with_group().await;
    let made = server.image("one", json!({})).await;
    let etag = header(&made, "etag").unwrap().to_owned();
    let path = Server::in_subscription(&format!("resourceGroups/rg/{COMPUTE}/images/one"));
    let tags = json!({ "tags": { "a": "b" } }).to_string();
    let send = |if_match: &str| {
        let if_match = if_match.to_owned();
        let (server, path, tags) = (&server, &path, &tags);
        async move { server.send(Method::Patch, path, BTreeMap::new(), tags, Some(&if_match)).await }
    };
    assert_eq!(send(&etag).await.unwrap().body.unwrap()["tags"], json!({ "a": "b" }));
    assert_eq!(code(send(&etag).await), (412, "PreconditionFailed".into()));
    assert_eq!(code(send("!*").await), (412, "PreconditionFailed".into()));
    assert_eq!(send("*").await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn missing_resource_is_reported() {
    let server = Server::with_group().await;
    let other = S.replace('1', "2");
    for (path, status, wanted) in [
        (format!("/subscriptions/{other}/resourcegroups"), 404, "SubscriptionNotFound"),
        ("/subscriptions/me/resourcegroups".into(), 400, "InvalidSubscriptionId"),
        (format!("/subscriptions/{S}/nothing"), 404, "InvalidResourceType"),
        (format!("/subscriptions/{S}/providers/Microsoft.Nope"), 404, "InvalidResourceNamespace"),
        (format!("/subscriptions/{S}/providers/Microsoft.Nope/x"), 404, "InvalidResourceNamespace"),
        (format!("/subscriptions/{S}/{COMPUTE}/snapshots"), 404, "InvalidResourceType"),
        (format!("/subscriptions/{S}/{COMPUTE}/images/x"), 404, "InvalidResourceType"),
        (
            format!("/subscriptions/{S}/resourceGroups/no/{COMPUTE}/images/x"),
            404,
            "ResourceGroupNotFound",
        ),
        (
            format!("/subscriptions/{S}/resourceGroups/rg/{COMPUTE}/images/x"),
            404,
            "ResourceNotFound",
        ),
        (
            format!("/subscriptions/{S}/resourceGroups/rg/{COMPUTE}/galleries/x/images"),
            404,
            "ResourceNotFound",
        ),
        (
            format!("/subscriptions/{S}/resourceGroups/rg/{COMPUTE}/virtualMachines/https%3A"),
            404,
            "ResourceNotFound",
        ),
        (format!("/subscriptions/{S}/operationresults/x"), 404, "OperationNotFound"),
        (
            format!(
                "/subscriptions/{S}/providers/Microsoft.VirtualMachineImages/locations/westus2/operations/x"
            ),
            404,
            "OperationNotFound",
        ),
        (
            format!(
                "/subscriptions/{S}/{COMPUTE}/locations/westus2/publishers/Nobody/artifacttypes/vmimage/offers"
            ),
            404,
            "NotFound",
        ),
        (
            format!("/subscriptions/{S}/{COMPUTE}/locations/mars/publishers"),
            400,
            "LocationNotAvailableForResourceType",
        ),
        (
            format!("/subscriptions/{S}/resourcegroups?api-version=soon"),
            400,
            "InvalidApiVersionParameter",
        ),
        ("/".into(), 404, "InvalidResourceType"),
    ] {
        let answer = server.call(Method::Get, &path, "").await;
        assert_eq!(code(answer), (status, wanted.into()), "{path}");
    }
}

#[tokio::test]
async fn unsupported_request_is_rejected() {
    let server = Server::with_group().await;
    for (method, path, status, wanted) in [
        (Method::Post, "resourceGroups/rg", 405, "MethodNotAllowed"),
        (Method::Delete, "locations", 405, "MethodNotAllowed"),
        (
            Method::Delete,
            "resourceGroups/rg/providers/Microsoft.Compute/images",
            405,
            "MethodNotAllowed",
        ),
        (
            Method::Post,
            "resourceGroups/rg/providers/Microsoft.Resources/deployments/d/validate",
            400,
            "InvalidRequestContent",
        ),
        (
            Method::Put,
            "resourceGroups/rg/providers/Microsoft.Compute/galleries/g",
            400,
            "InvalidRequestContent",
        ),
        (
            Method::Put,
            "resourceGroups/rg/providers/Microsoft.Compute/galleries/a%20b",
            400,
            "InvalidResourceName",
        ),
        (Method::Put, "resourceGroups/new.", 400, "InvalidResourceGroupName"),
    ] {
        assert_eq!(code(server.on(method, path).await), (status, wanted.into()), "{path}");
    }
    let far = server.put(&format!("rg/{COMPUTE}/galleries/g"), json!({ "location": "mars" })).await;
    assert_eq!(code(far), (400, "LocationNotAvailableForResourceType".into()));
    let moved = server.put("rg", json!({ "location": "eastus" })).await;
    assert_eq!(code(moved), (409, "InvalidResourceGroupLocation".into()));
}

/// Replaces each field of valid bodies by invalid values.
#[tokio::test]
async fn invalid_field_never_causes_a_server_error() {
    let server = Server::with_group().await;
    server.gallery().await;
    let principal = server.principal("ci").await;
    let disk = json!({ "osType": "Linux", "osState": "Generalized", "blobUri": "u" });
    let good = [
        ("", json!({ "location": "lab1", "tags": { "a": "b" }, "managedBy": "m" })),
        (
            "Microsoft.Compute/images/x",
            json!({ "location": "lab1", "properties": {
            "hyperVGeneration": "V1", "storageProfile": { "osDisk": disk, "dataDisks": [] } } }),
        ),
        (
            "Microsoft.Compute/galleries/x",
            json!({ "location": "lab1", "identity": {}, "properties": {} }),
        ),
        (
            "Microsoft.Compute/galleries/gal/images/x",
            json!({ "location": "lab1", "properties": {
            "osType": "Linux", "osState": "Generalized", "disallowed": {}, "features": [],
            "identifier": { "publisher": "p", "offer": "o", "sku": "x" } } }),
        ),
        (
            "Microsoft.Compute/galleries/gal/images/def/versions/1.0.0",
            json!({
            "location": "lab1", "properties": {
                "publishingProfile": { "replicaCount": 1, "excludeFromLatest": true,
                    "targetRegions": [{ "name": "lab1", "regionalReplicaCount": 1 }] },
                "storageProfile": { "osDiskImage": { "source": { "uri": "u" } } } } }),
        ),
        ("Microsoft.ManagedIdentity/userAssignedIdentities/xyz", json!({ "location": "lab1" })),
        (
            "Microsoft.Network/virtualNetworks/xyz",
            json!({ "location": "lab1", "properties": {
            "addressSpace": { "addressPrefixes": ["10.0.0.0/8"] }, "dhcpOptions": {},
            "subnets": [{ "name": "s", "properties": { "addressPrefix": "10.0.0.0/24" } }] } }),
        ),
        (
            "Microsoft.Storage/storageAccounts/xyz",
            json!({
            "location": "lab1", "kind": "StorageV2", "sku": { "name": "Standard_LRS" }, "properties": {} }),
        ),
        ("Microsoft.Resources/tags/default", json!({ "properties": { "tags": { "a": "b" } } })),
    ];
    for (path, body) in good.into_iter().chain(of_access(&principal)) {
        let path = match path {
            "" => Server::in_subscription("resourceGroups/odd"),
            path => Server::in_subscription(&format!("resourceGroups/rg/providers/{path}")),
        };
        let mut pointers = vec![String::new()];
        fields(&body, "", &mut pointers);
        for pointer in pointers {
            for odd in [
                json!(null),
                json!(7),
                json!("\u{0}é/.."),
                json!([[]]),
                json!({ "": {} }),
                json!(false),
            ] {
                let mut body = body.clone();
                *body.pointer_mut(&pointer).unwrap() = odd;
                for method in [Method::Put, Method::Patch] {
                    let answer = server.call(method, &path, &body.to_string()).await;
                    let status = answer.map_or_else(|error| error.status, |reply| reply.status);
                    assert!(!status.is_server_error(), "{method:?} {path} {body}");
                }
            }
        }
        let made = server.call(Method::Put, &path, &body.to_string()).await;
        assert!(made.is_ok(), "{path}: {made:?}");
        assert!(server.call(Method::Get, &path, "").await.is_ok(), "{path}");
    }
}

/// Valid bodies of a role assignment, a role definition and a lock.
fn of_access(principal: &str) -> [(&'static str, Value); 3] {
    [
        (
            "Microsoft.Authorization/roleAssignments/88888888-0000-0000-0000-000000000001",
            json!({
            "properties": { "roleDefinitionId": "b24988ac-6180-42a0-ab88-20f7382dd24c",
                "principalId": principal, "principalType": "ServicePrincipal" } }),
        ),
        (
            "Microsoft.Authorization/roleDefinitions/88888888-0000-0000-0000-000000000002",
            json!({ "properties": { "roleName": "n", "type": "CustomRole", "description": "d",
                "assignableScopes": [Server::in_subscription("")],
                "permissions": [{ "actions": ["*/read"], "notDataActions": [], "condition": "" }] } }),
        ),
        (
            "Microsoft.Authorization/locks/keep",
            json!({ "properties": { "level": "CanNotDelete", "notes": "n",
                "owners": [{ "applicationId": "a" }] } }),
        ),
    ]
}

fn fields(value: &Value, at: &str, found: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in below {
        let at = format!("{at}/{name}");
        found.push(at.clone());
        fields(value, &at, found);
    }
}
