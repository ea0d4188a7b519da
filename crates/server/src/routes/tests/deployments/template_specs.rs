//! Template specs, and deployments of them.

use super::*;

const SPECS: &str = "Rg/providers/Microsoft.Resources/templateSpecs";
const IDENTITIES: &str =
    "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities";

fn version(main: &Value, more: Value) -> Value {
    let mut properties = json!({ "mainTemplate": main });
    for (name, value) in more.as_object().into_iter().flatten() {
        properties[name] = value.clone();
    }
    json!({ "location": "westus2", "properties": properties })
}

fn id(version: &str) -> String {
    format!("/subscriptions/{S}/resourceGroups/{SPECS}/web/versions/{version}")
}

/// A request with a link in place of a template.
fn linked(link: Value) -> Value {
    json!({ "properties": { "mode": "Incremental", "templateLink": link } })
}

fn nested(name: &str, link: Value) -> Value {
    json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": name,
        "properties": { "mode": "Incremental", "templateLink": link },
    })
}

impl Server {
    /// A server with the template spec `web`.
    async fn with_spec() -> Self {
        let server = Self::with_group().await;
        let spec = json!({ "location": "westus2", "properties": { "displayName": "Web" } });
        let made = server.put(&format!("{SPECS}/web"), spec).await.unwrap();
        assert_eq!(made.status, StatusCode::CREATED);
        server
    }

    async fn version(&self, name: &str, body: Value) -> Result<Reply, ApiError> {
        self.put(&format!("{SPECS}/web/versions/{name}"), body).await
    }
}

#[tokio::test]
async fn spec_keeps_its_versions() {
    let server = Server::with_spec().await;
    let main = template(json!([identity("made")]), json!({}));
    let body = version(&main, json!({ "description": "first", "uiFormDefinition": { "a": 1 } }));
    let made = server.version("1.0", body.clone()).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.body.unwrap();
    assert_eq!(made["type"], "Microsoft.Resources/templateSpecs/versions");
    assert_eq!(made["properties"]["mainTemplate"], main);
    assert_eq!(server.version("1.0", body.clone()).await.unwrap().status, StatusCode::OK);
    server.version("2.0", version(&main, json!({}))).await.unwrap();

    let path = format!("resourceGroups/{SPECS}/web");
    let plain = server.get(&path).await.unwrap();
    assert_eq!(plain["properties"], json!({ "displayName": "Web" }));
    assert!(plain["systemData"]["createdAt"].is_string());
    let expanded = server.get(&format!("{path}?$expand=versions")).await.unwrap();
    let versions = expanded["properties"]["versions"].as_object().unwrap();
    assert_eq!(versions.keys().collect::<Vec<_>>(), ["1.0", "2.0"]);
    assert_eq!(versions["1.0"]["description"], "first");
    assert!(versions["2.0"]["timeCreated"].is_string());
    for list in [format!("resourceGroups/{SPECS}/"), SPECS.replace("Rg/", "")] {
        assert_eq!(names(&server.get(&list).await.unwrap()), ["web"]);
    }
    let list = server.get(&format!("{path}/versions")).await.unwrap();
    assert_eq!(names(&list), ["1.0", "2.0"]);

    let tags = json!({ "tags": { "a": "b" } }).to_string();
    let url = Server::in_subscription(&format!("{path}/versions/1.0"));
    let patched = server.call(Method::Patch, &url, &tags).await.unwrap();
    assert_eq!(patched.body.unwrap()["tags"], json!({ "a": "b" }));
    let stale =
        server.send(Method::Put, &url, BTreeMap::new(), &body.to_string(), Some("\"other\"")).await;
    assert_eq!(code(stale).0, 412);

    assert_eq!(server.on(Method::Delete, &path).await.unwrap().status, StatusCode::OK);
    let gone = server.get(&format!("{path}/versions/1.0")).await;
    assert_eq!(code(gone), (404, "ResourceNotFound".into()));
    assert_eq!(code(server.version("1.0", body).await), (404, "ParentResourceNotFound".into()));
}

#[tokio::test]
async fn wrong_version_is_refused() {
    let server = Server::with_spec().await;
    let main = template(json!([]), json!({}));
    let mut elsewhere = version(&main, json!({}));
    elsewhere["location"] = json!("eastus");
    assert_eq!(code(server.version("1", elsewhere).await), (400, "InvalidParameter".into()));
    let wrong = template(json!([{ "name": "x" }]), json!({}));
    let refused = server.version("1", version(&wrong, json!({}))).await.unwrap_err();
    assert_eq!(refused.code, "InvalidTemplate");
    assert!(refused.target.unwrap().starts_with("properties.mainTemplate.resources"));
    let refused = server.version("a.", version(&main, json!({}))).await;
    assert_eq!(code(refused), (400, "InvalidResourceName".into()));
    let refused = server.deploy("d", &linked(json!({ "id": id("1") }))).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.code.as_str()), (400, "InvalidTemplateSpec"));
    assert!(refused.message.contains(&id("1")));
}

#[tokio::test]
async fn spec_is_deployed_with_its_linked_templates() {
    let server = Server::with_spec().await;
    let outputs = json!({ "outputs": {
        "link": { "type": "object", "value": "[deployment().properties.templateLink]" },
    } });
    let main = template(
        json!([identity("main"), nested("first", json!({ "relativePath": "parts/one.json" }))]),
        outputs.clone(),
    );
    let inside =
        json!([identity("one"), nested("second", json!({ "relativePath": "../two.json" }))]);
    let parts = json!([
        { "path": "parts\\one.json", "template": template(inside, outputs) },
        { "path": "two.json", "template": template(json!([identity("two")]), json!({})) },
    ]);
    server.version("1", version(&main, json!({ "linkedTemplates": parts }))).await.unwrap();
    let request = linked(json!({ "id": id("1") }));
    server.act("main", "validate", &request).await.unwrap();
    let mut changes = server.what_if(&request).await;
    changes.retain(|change| change.starts_with("Create"));
    changes.sort();
    assert_eq!(changes, ["Create main", "Create one", "Create two"]);

    server.deploy("main", &request).await.unwrap();
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    let link = json!({ "id": id("1") });
    assert_eq!(shown["properties"]["templateLink"], link);
    assert_eq!(shown["properties"]["outputs"]["link"]["value"], link);
    let first = server.deployment("first").await;
    let link = json!({ "id": id("1"), "relativePath": "parts/one.json" });
    assert_eq!(first["properties"]["outputs"]["link"]["value"], link);
    for name in ["main", "one", "two"] {
        server.get(&format!("{IDENTITIES}/{name}")).await.unwrap();
    }
    let exported = server.act("main", "exportTemplate", &json!({})).await.unwrap();
    assert_eq!(exported.body.unwrap()["template"], main);

    let none = template(json!([nested("x", json!({ "relativePath": "no.json" }))]), json!({}));
    server.version("2", version(&none, json!({}))).await.unwrap();
    let refused = server.act("d", "validate", &linked(json!({ "id": id("2") }))).await;
    assert_eq!(code(refused), (400, "InvalidTemplateSpec".into()));
    let refused = server.act("d", "validate", &self::request(none, json!({}))).await;
    assert_eq!(code(refused), (400, "InvalidTemplateLink".into()));
}

#[tokio::test]
async fn spec_is_made_and_deployed_by_a_deployment() {
    let server = Server::with_group().await;
    let kept = template(
        json!([{
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2023-01-31",
            // For the template around it, that is a text.
            "name": "[[parameters('name')]", "location": "westus2",
        }]),
        json!({ "parameters": { "name": { "type": "string" } } }),
    );
    let spec = json!({
        "type": "Microsoft.Resources/templateSpecs", "apiVersion": "2022-02-01", "name": "web",
        "location": "westus2", "properties": { "description": "d" },
    });
    let mut one = version(&kept, json!({}));
    one["type"] = json!("Microsoft.Resources/templateSpecs/versions");
    one["apiVersion"] = json!("2022-02-01");
    one["name"] = json!("web/1");
    one["dependsOn"] = json!(["web"]);
    let id = "[resourceId('Microsoft.Resources/templateSpecs/versions', 'web', '1')]";
    let mut user = nested("user", json!({ "id": id }));
    user["properties"]["parameters"] = json!({ "name": { "value": "by-spec" } });
    user["dependsOn"] = json!([id]);
    let body = request(template(json!([spec, one, user]), json!({})), json!({}));
    server.act("main", "validate", &body).await.unwrap();
    server.deploy("main", &body).await.unwrap();
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    server.get(&format!("{IDENTITIES}/by-spec")).await.unwrap();
    let version = server.get(&format!("resourceGroups/{SPECS}/web/versions/1")).await.unwrap();
    let name = &version["properties"]["mainTemplate"]["resources"][0]["name"];
    assert_eq!(name, "[parameters('name')]");
    // Now that the spec exists, deployments of it are checked before they begin.
    let refused = server.act("d", "validate", &linked(json!({ "id": self::id("1") }))).await;
    assert_eq!(code(refused).0, 400);
}
