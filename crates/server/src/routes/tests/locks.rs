//! Locks: what they stop, and how they are listed.

use service::roles::CONTRIBUTOR;

use super::*;

const LOCKS: &str = "providers/Microsoft.Authorization/locks";

impl Server {
    async fn lock(&self, scope: &str, name: &str, level: &str) -> Result<Reply, ApiError> {
        let path = Self::in_subscription(&format!("{scope}{LOCKS}/{name}"));
        let body = json!({ "properties": { "level": level, "notes": "why" } });
        self.call(Method::Put, &path, &body.to_string()).await
    }
}

#[tokio::test]
async fn lock_is_created_changed_and_deleted() {
    let server = Server::with_group().await;
    let made = server.lock("resourceGroups/Rg/", "Keep", "CanNotDelete").await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED);
    let path = format!("resourceGroups/Rg/{LOCKS}/Keep");
    let body = json!({
        "properties": { "level": "CanNotDelete", "notes": "why" },
        "id": Server::in_subscription(&path), "type": "Microsoft.Authorization/locks",
        "name": "Keep",
    });
    assert_eq!(made.body.unwrap(), body);
    assert_eq!(server.get(&path.to_lowercase()).await.unwrap(), body);
    let changed = server.lock("resourceGroups/Rg/", "keep", "readonly").await.unwrap();
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.body.unwrap()["properties"]["level"], "ReadOnly");
    // A lock does not stop its own removal.
    assert_eq!(server.on(Method::Delete, &path).await.unwrap().status, StatusCode::OK);
    assert_eq!(server.on(Method::Delete, &path).await.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(code(server.get(&path).await), (404, "LockNotFound".into()));
    for (scope, wanted) in [
        ("resourceGroups/none/", (404, "ResourceGroupNotFound".to_owned())),
        ("resourceGroups/Rg/providers/a/b/c/", (404, "ResourceNotFound".to_owned())),
    ] {
        assert_eq!(code(server.lock(scope, "x", "ReadOnly").await), wanted, "{scope}");
    }
    let root = format!("/{LOCKS}/x");
    let body = json!({ "properties": { "level": "ReadOnly" } }).to_string();
    let refused = server.call(Method::Put, &root, &body).await;
    assert_eq!(code(refused), (400, "InvalidLockScope".into()));
}

#[tokio::test]
async fn locks_are_listed_at_above_and_below_a_scope() {
    let server = Server::with_group().await;
    server.image("one", json!({})).await;
    server.put("Other", json!({ "location": "westus2" })).await.unwrap();
    let image = format!("resourceGroups/Rg/{COMPUTE}/images/one/");
    for (scope, name) in [
        ("", "of-subscription"),
        ("resourceGroups/Rg/", "of-group"),
        (image.as_str(), "of-image"),
        ("resourceGroups/Other/", "of-other"),
    ] {
        server.lock(scope, name, "CanNotDelete").await.unwrap();
    }
    let list = async |scope: &str, filter: &str| {
        server.listed("o", &format!("{scope}{LOCKS}?$filter={filter}")).await
    };
    assert_eq!(list("", "").await.len(), 4);
    assert_eq!(list("", "atScope()").await, ["of-subscription"]);
    let group = list("resourceGroups/rg/", "").await;
    assert_eq!(group, ["of-subscription", "of-group", "of-image"]);
    assert_eq!(list(&image, "").await, group);
    assert_eq!(list("resourceGroups/rg/", "atScope()").await, group[..2]);
    // az's form of a resource without a parent.
    let resource = image.replace("Compute/images", "Compute//images");
    assert_eq!(list(&resource, "").await, group);
    let ci = server.principal("ci").await;
    server.grant(&ci, CONTRIBUTOR, "resourceGroups/other").await;
    assert_eq!(server.listed(&ci, LOCKS).await, ["of-other"]);
    let path = format!("resourceGroups/other/{LOCKS}/of-other");
    let refused = server.of(&ci, Method::Delete, &path, &Value::Null).await;
    assert_eq!(code(refused), (403, "AuthorizationFailed".into()));
}

#[tokio::test]
async fn undeletable_group_and_what_is_in_it_stay_until_the_lock_goes() {
    let server = Server::with_group().await;
    server.image("one", json!({})).await;
    server.lock("resourceGroups/Rg/", "keep", "CanNotDelete").await.unwrap();
    let image = format!("resourceGroups/rg/{COMPUTE}/images/one");
    for path in ["resourceGroups/rg", &image] {
        let refused = server.on(Method::Delete, path).await.unwrap_err();
        assert_eq!(
            (refused.status.as_u16(), refused.code.as_str()),
            (409, "ScopeLocked"),
            "{path}"
        );
        assert!(refused.message.contains("Please remove the lock and try again."), "{refused:?}");
    }
    // Changes are possible.
    server.image("one", json!({ "a": "b" })).await;
    server.on(Method::Delete, &format!("resourceGroups/rg/{LOCKS}/keep")).await.unwrap();

    // A lock below a group keeps the group, too.
    server.lock(&format!("{image}/"), "keep", "CanNotDelete").await.unwrap();
    let refused = server.on(Method::Delete, "resourceGroups/rg").await;
    assert_eq!(code(refused), (409, "ScopeLocked".into()));
    server.on(Method::Delete, &format!("{image}/{LOCKS}/keep")).await.unwrap();
    let gone = server.on(Method::Delete, "resourceGroups/rg").await.unwrap();
    assert_eq!(gone.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn read_only_group_refuses_changes_and_actions() {
    let server = Server::with_group().await;
    let account = "Rg/providers/Microsoft.Storage/storageAccounts/acc1";
    let body = json!({ "location": "westus2", "kind": "StorageV2", "sku": { "name": "Standard_LRS" }, "properties": {} });
    server.put(account, body.clone()).await.unwrap();
    server.lock("", "calm", "ReadOnly").await.unwrap();
    assert_eq!(code(server.put(account, body).await), (409, "ScopeLocked".into()));
    let keys = format!("resourceGroups/{account}/listKeys");
    assert_eq!(code(server.on(Method::Post, &keys).await), (409, "ScopeLocked".into()));
    let new = server.put("new", json!({ "location": "westus2" })).await;
    assert_eq!(code(new), (409, "ScopeLocked".into()));
    assert!(server.get(&format!("resourceGroups/{account}")).await.is_ok());
    server.on(Method::Delete, &format!("{LOCKS}/calm")).await.unwrap();
    assert!(server.on(Method::Post, &keys).await.is_ok());
}

#[tokio::test]
async fn locks_and_assignments_go_with_their_resource() {
    let server = Server::with_group().await;
    server.image("one", json!({})).await;
    let ci = server.principal("ci").await;
    let image = format!("resourceGroups/rg/{COMPUTE}/images/one");
    server.grant(&ci, CONTRIBUTOR, &image).await;
    server.on(Method::Delete, &image).await.unwrap();
    server.image("one", json!({})).await;
    let denied = server.of(&ci, Method::Get, &image, &Value::Null).await;
    assert_eq!(code(denied), (403, "AuthorizationFailed".into()));
}

#[tokio::test]
async fn template_locks_its_group_and_a_resource() {
    let server = Server::with_group().await;
    server.image("one", json!({})).await;
    let lock = |name: &str, more: Value| {
        let mut lock = json!({
            "type": "Microsoft.Authorization/locks", "apiVersion": "2020-05-01", "name": name,
            "properties": { "level": "CanNotDelete" },
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            lock[field] = value.clone();
        }
        lock
    };
    let on_image = json!({ "scope": "[resourceId('Microsoft.Compute/images', 'one')]" });
    let template = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [lock("of-group", json!({})), lock("of-image", on_image)],
    });
    let body = json!({ "properties": { "mode": "Incremental", "template": template } });
    let path = "Rg/providers/Microsoft.Resources/deployments/locks";
    server.put(path, body).await.unwrap();
    assert!(tasks::finish(&server.app, Duration::from_secs(60)).await);
    let shown = server.get(&format!("resourceGroups/{path}")).await.unwrap();
    assert_eq!(shown["properties"]["provisioningState"], "Succeeded", "{shown}");
    let image = format!("resourceGroups/rg/{COMPUTE}/images/one");
    assert_eq!(server.listed("o", &format!("{image}/{LOCKS}")).await, ["of-group", "of-image"]);
    assert_eq!(code(server.on(Method::Delete, &image).await), (409, "ScopeLocked".into()));
}
