//! Calls through the whole of [`handle`](super::handle), on a SQLite file of their own.

mod preconditions;

use std::{collections::BTreeMap, time::Duration};

use arm::{ApiError, Call, Caller, Method, Path, Reply};
use db::{Resource, ResourceKey, Run, RunState, Store, Write};
use http::StatusCode;
use images::layout::Layout;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::{App, Settings, tasks};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::handle;

const S: &str = "11111111-2222-3333-4444-555555555555";
const COMPUTE: &str = "providers/Microsoft.Compute";

struct Server {
    app: App,
    _dir: TempDir,
}

impl Server {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("goldsmith.db");
        let store = Store::open(&format!("sqlite://{}", file.display())).await.unwrap();
        let settings = Settings {
            layout: Layout::new(dir.path().join("cache"), dir.path().join("data")),
            dir: dir.path().to_owned(),
            regions: vec!["westus2".to_owned(), "eastus".to_owned(), "lab1".to_owned()],
            tenant: "99999999-0000-0000-0000-000000000000".to_owned(),
            subscription: S.to_owned(),
        };
        Self { app: App::new(settings, store, CancellationToken::new()), _dir: dir }
    }

    /// A server with the group `Rg`.
    async fn with_group() -> Self {
        let server = Self::start().await;
        let made = server.put("Rg", json!({ "location": "westus2" })).await.unwrap();
        assert_eq!(made.status, StatusCode::CREATED);
        server
    }

    async fn call(&self, method: Method, path: &str, body: &str) -> Result<Reply, ApiError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query: BTreeMap<String, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| {
                let decode = |text: &str| {
                    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
                };
                (decode(name).to_lowercase(), decode(value))
            })
            .collect();
        self.send(method, path, query, body, None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: BTreeMap<String, String>,
        body: &str,
        if_match: Option<&str>,
    ) -> Result<Reply, ApiError> {
        let api_version = query.get("api-version").cloned();
        let call = Call {
            method,
            path: Path::parse(path),
            query,
            api_version: api_version.unwrap_or_else(|| "2024-07-01".to_owned()),
            body: body.to_owned(),
            base_url: "https://localhost:8443".to_owned(),
            request_id: "r".to_owned(),
            if_match: if_match.map(str::to_owned),
            caller: Caller { client_id: "c".to_owned(), object_id: "o".to_owned() },
        };
        handle(&self.app, call).await
    }

    fn in_subscription(path: &str) -> String {
        match path {
            "" => format!("/subscriptions/{S}"),
            path => format!("/subscriptions/{S}/{path}"),
        }
    }

    async fn get(&self, path: &str) -> Result<Value, ApiError> {
        let reply = self.call(Method::Get, &Self::in_subscription(path), "").await?;
        assert_eq!(reply.status, StatusCode::OK);
        Ok(reply.body.unwrap_or_default())
    }

    /// PUT below `resourceGroups/`.
    async fn put(&self, path: &str, body: Value) -> Result<Reply, ApiError> {
        let path = Self::in_subscription(&format!("resourceGroups/{path}"));
        self.call(Method::Put, &path, &body.to_string()).await
    }

    async fn on(&self, method: Method, path: &str) -> Result<Reply, ApiError> {
        self.call(method, &Self::in_subscription(path), "").await
    }

    /// A row as the service writes it by itself.
    async fn write(&self, id: &str, kind: &str, body: Value) {
        let held = self.app.store().resource(&ResourceKey::of(id)).await.unwrap();
        let revision = held.map_or(0, |held| held.revision);
        let now = Timestamp::now();
        let resource = Resource {
            id: id.to_owned(),
            subscription: S.to_owned(),
            group: "rg".to_owned(),
            kind: kind.to_lowercase(),
            name: id.rsplit('/').next().unwrap().to_owned(),
            revision,
            created: now,
            changed: now,
            body,
            hidden: json!({}),
        };
        let write = if revision == 0 { Write::Insert } else { Write::Replace };
        self.app.store().commit(vec![write(resource)]).await.unwrap();
    }

    async fn gallery(&self) {
        let here = json!({ "location": "westus2" });
        self.put(&format!("Rg/{COMPUTE}/galleries/Gal"), here).await.unwrap();
        let definition = json!({ "location": "westus2", "properties": {
            "osType": "Linux", "osState": "Generalized",
            "identifier": { "publisher": "p", "offer": "o", "sku": "s" },
        } });
        self.put(&format!("Rg/{COMPUTE}/galleries/gal/images/Def"), definition).await.unwrap();
    }

    async fn image(&self, name: &str, tags: Value) -> Reply {
        let body = json!({ "location": "westus2", "tags": tags, "properties": {
            "storageProfile": { "osDisk": {
                "osType": "Linux", "osState": "Generalized", "blobUri": "https://x/y.vhd",
            } },
        } });
        self.put(&format!("Rg/{COMPUTE}/images/{name}"), body).await.unwrap()
    }
}

fn code(result: Result<impl std::fmt::Debug, ApiError>) -> (u16, String) {
    let error = result.unwrap_err();
    (error.status.as_u16(), error.code)
}

fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
}

fn names(list: &Value) -> Vec<&str> {
    list["value"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_group_lives_and_goes() {
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
async fn a_group_that_is_being_removed_takes_nothing_and_is_taken_up_again() {
    let server = Server::with_group().await;
    server.image("one", json!({})).await;
    // What a process that died in the middle left behind.
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
async fn a_group_with_a_run_in_it_stays() {
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
async fn a_gallery_with_definition_and_version() {
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

    // An update may leave the source out; the date stays.
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
    // A record that was made by hand has no disk, here or there.
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
    let kept = server.on(Method::Delete, &gallery).await;
    assert_eq!(code(kept), (409, "CannotDeleteResource".into()));
    for path in [full, format!("{gallery}/images/def"), gallery] {
        assert_eq!(server.on(Method::Delete, &path).await.unwrap().status, StatusCode::OK);
        assert_eq!(server.on(Method::Delete, &path).await.unwrap().status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn an_identity_keeps_its_ids() {
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
async fn a_network_and_its_subnets_agree() {
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
    // Whether builds can be in it; what is sent back of that is not kept.
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
    // A subnet that the network's body leaves out goes.
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
async fn a_storage_account_never_says_created() {
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

#[tokio::test]
async fn long_lists_come_in_pages() {
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
async fn roles_are_assigned_and_listed() {
    let server = Server::with_group().await;
    let scope = "resourceGroups/Rg/providers/Microsoft.Authorization";
    let roles = server
        .get(&format!("{scope}/roleDefinitions?$filter=roleName%20eq%20'Contributor'"))
        .await
        .unwrap();
    assert_eq!(roles["value"][0]["name"], "b24988ac-6180-42a0-ab88-20f7382dd24c");
    assert_eq!(roles["value"].as_array().unwrap().len(), 1);
    let principal = "00000002-aaaa-4aaa-8aaa-000000000002";
    let body = json!({ "properties": { "roleDefinitionId": roles["value"][0]["id"], "principalId": principal } });
    let path =
        "Rg/providers/Microsoft.Authorization/roleAssignments/88888888-0000-0000-0000-000000000001";
    let made = server.put(path, body.clone()).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.body.unwrap()["properties"]["principalType"], "ServicePrincipal");
    assert_eq!(server.put(path, body.clone()).await.unwrap().status, StatusCode::OK);
    let twice = server.put(&path.replace("0001", "0002"), body.clone()).await;
    assert_eq!(code(twice), (409, "RoleAssignmentExists".into()));
    let nowhere =
        server.put(&path.replace("Rg", "Rg/providers/Microsoft.Compute/images/x"), body).await;
    assert_eq!(code(nowhere), (404, "ResourceNotFound".into()));
    let count = async |path: &str| names(&server.get(path).await.unwrap()).len();
    assert_eq!(count(&format!("{scope}/roleAssignments")).await, 1);
    let above = "providers/Microsoft.Authorization/roleAssignments";
    assert_eq!(count(above).await, 1);
    assert_eq!(count(&format!("{above}?$filter=atScope()")).await, 0);
    assert_eq!(count(&format!("{above}?$filter=principalId%20eq%20'{principal}'")).await, 1);
    assert_eq!(count("resources").await, 0);
    let gone = server.on(Method::Delete, &format!("resourceGroups/{path}")).await.unwrap();
    assert_eq!((gone.status, gone.body.is_some()), (StatusCode::OK, true));
}

#[tokio::test]
async fn tags_of_a_scope_are_changed_by_themselves() {
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
async fn tags_of_a_template_wait_until_it_is_settled() {
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
async fn an_image_that_a_run_made_is_updated() {
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

    // One that was made by hand can be told what it was made from once more.
    let made = server.image("hand", json!({})).await.body.unwrap();
    let again = server.image("hand", json!({ "a": "b" })).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.body.unwrap()["properties"], made["properties"]);
}

#[tokio::test]
async fn a_write_that_expects_another_state_is_refused() {
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
async fn what_is_not_there_is_said() {
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
async fn what_cannot_be_done_is_said() {
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
            "DeploymentsNotSupported",
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

#[tokio::test]
async fn the_subscription_describes_itself() {
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
async fn the_catalogue_can_be_walked() {
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

#[tokio::test]
async fn a_stored_image_goes_with_its_resource() {
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

/// Every field of good bodies is replaced, in turn, by what it cannot be.
#[tokio::test]
async fn no_body_is_too_odd() {
    let server = Server::with_group().await;
    server.gallery().await;
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
        (
            "Microsoft.Authorization/roleAssignments/88888888-0000-0000-0000-000000000001",
            json!({
            "properties": { "roleDefinitionId": "b24988ac-6180-42a0-ab88-20f7382dd24c",
                "principalId": "00000002-aaaa-4aaa-8aaa-000000000002", "principalType": "User" } }),
        ),
    ];
    for (path, body) in good {
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

#[tokio::test(flavor = "multi_thread")]
async fn definitions_made_at_once_do_not_share_their_identifier() {
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
