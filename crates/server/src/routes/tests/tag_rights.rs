//! What a principal that may write nothing but tags can do to an image template.

use super::*;

const TEMPLATE: &str = "Microsoft.VirtualMachineImages/imageTemplates";
/// The ids of the roles that the tests make.
const TAGGER: &str = "12345678-0000-0000-0000-000000000001";
const WRITER: &str = "12345678-0000-0000-0000-000000000002";

impl Server {
    async fn role(&self, id: &str, actions: &[&str]) {
        let definition = db::RoleDefinition {
            id: id.to_owned(),
            name: id.to_owned(),
            body: json!({ "permissions": [{ "actions": actions }] }),
            revision: 0,
            created: Timestamp::now(),
            changed: Timestamp::now(),
        };
        self.app.store().commit(vec![Write::PutRole(definition)]).await.unwrap();
    }

    /// A server with the image template `t` and these tags, and a principal that may write tags.
    async fn tagged(tags: Value) -> (Self, String) {
        let server = Self::with_group().await;
        let id = Self::in_subscription(&format!("resourceGroups/Rg/providers/{TEMPLATE}/t"));
        let body = json!({
            "location": "westus2", "tags": tags,
            "identity": { "type": "UserAssigned", "userAssignedIdentities": {
                (Self::in_subscription("resourceGroups/Rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i")): {},
            } },
            "properties": {
                "provisioningState": "Succeeded",
                "source": { "type": "PlatformImage", "publisher": "p", "offer": "o", "sku": "s", "version": "1" },
                "distribute": [{ "type": "VHD", "runOutputName": "disk" }],
            },
        });
        server.write(&id, TEMPLATE, body).await;
        server.role(TAGGER, &["Microsoft.Resources/tags/*"]).await;
        server.role(WRITER, &[&format!("{TEMPLATE}/write")]).await;
        let one = server.principal("one").await;
        server.grant(&one, TAGGER, "resourceGroups/rg").await;
        (server, one)
    }

    async fn retag(&self, principal: &str, method: Method, body: Value) -> Result<Reply, ApiError> {
        let path = format!(
            "resourceGroups/rg/providers/{TEMPLATE}/t/providers/Microsoft.Resources/tags/default"
        );
        self.of(principal, method, &path, &body).await
    }

    /// The tags of the template.
    async fn tags(&self) -> Value {
        let id = Self::in_subscription(&format!("resourceGroups/rg/providers/{TEMPLATE}/t"));
        self.app.store().resource(&ResourceKey::of(&id)).await.unwrap().unwrap().body["tags"]
            .clone()
    }

    async fn has_schedule(&self) -> bool {
        let id = format!("resourceGroups/rg/providers/{TEMPLATE}/t/schedules/default");
        let key = ResourceKey::of(&Self::in_subscription(&id));
        self.app.store().resource(&key).await.unwrap().is_some()
    }
}

fn merge(tags: Value) -> Value {
    json!({ "operation": "Merge", "properties": { "tags": tags } })
}

fn refused(answer: Result<Reply, ApiError>) -> String {
    let error = answer.unwrap_err();
    assert_eq!((error.status.as_u16(), error.code.as_str()), (403, "LinkedAuthorizationFailed"));
    error.message
}

#[tokio::test]
async fn tags_with_an_effect_on_runs_need_the_right_to_write_the_template() {
    let (server, one) = Server::tagged(json!({ "team": "web" })).await;
    for (name, value) in [
        ("goldsmith.schedule", "* * * * *"),
        ("Goldsmith.Schedule", "* * * * *"),
        ("goldsmith.cache", "steps"),
        ("goldsmith.cloudInit", "true"),
        ("GOLDSMITH.SECUREBOOT", "true"),
        ("goldsmith.tpm", "true"),
    ] {
        let message =
            refused(server.retag(&one, Method::Patch, merge(json!({ name: value }))).await);
        assert!(message.contains(&format!("{TEMPLATE}/write")), "{message}");
        refused(
            server
                .retag(&one, Method::Put, json!({ "properties": { "tags": { name: value } } }))
                .await,
        );
        assert_eq!(server.tags().await, json!({ "team": "web" }));
        assert!(!server.has_schedule().await);
    }
    server.grant(&one, WRITER, "resourceGroups/rg").await;
    server
        .retag(&one, Method::Patch, merge(json!({ "goldsmith.schedule": "* * * * *" })))
        .await
        .unwrap();
    assert!(server.has_schedule().await);
}

#[tokio::test]
async fn tag_with_an_effect_is_not_taken_away_without_the_right_to_write_the_template() {
    let before = json!({ "goldsmith.secureBoot": "true", "team": "web" });
    let (server, one) = Server::tagged(before.clone()).await;
    let put = |tags: Value| json!({ "properties": { "tags": tags } });
    let delete = json!({
        "operation": "Delete", "properties": { "tags": { "goldsmith.secureBoot": "true" } },
    });
    refused(server.retag(&one, Method::Delete, Value::Null).await);
    refused(server.retag(&one, Method::Put, put(json!({ "team": "web" }))).await);
    refused(server.retag(&one, Method::Patch, delete).await);
    assert_eq!(server.tags().await, before);
    // Other tags are the principal's to write, beside those that stay as they are.
    server.retag(&one, Method::Patch, merge(json!({ "team": "db", "a": "b" }))).await.unwrap();
    let same = json!({ "goldsmith.secureBoot": "true" });
    server.retag(&one, Method::Put, put(same.clone())).await.unwrap();
    assert_eq!(server.tags().await, same);
}
