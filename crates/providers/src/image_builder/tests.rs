//! Whole calls against a database of their own.
#![allow(clippy::unwrap_used, reason = "tests")]

mod agreement;
mod bodies;
mod by_time;
mod by_version;
mod changes;
mod creation;
mod latest;
mod many;
mod quota;
mod rights_held;
mod triggers;

use std::{collections::BTreeMap, sync::Arc};

use arm::{Caller, Method, Path, Reply, Request, ResourceType};
use authorization::{Rights, Rule};
use db::{Cause, OperationStatus, Resource, RunState, Select, Store};
use http::StatusCode;
use images::layout::Layout;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::{Settings, roles};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;

use super::*;

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
const CATALOGUE: &str = r#"
[[image]]
publisher = "Canonical"
offer = "UbuntuServer"
sku = "18.04-LTS"
generation = 1
[[image.file]]
version = "18.04.201808140"
path = "ubuntu.raw"
format = "raw"
"#;

struct Service {
    app: App,
    folder: tempfile::TempDir,
}

impl Service {
    /// A service with a group `rg` in `westus`, and the identities `ide1` and `ide2` in it, which may do all that a
    /// template needs.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path()).await;
        std::fs::create_dir_all(app.settings().layout.data()).unwrap();
        std::fs::write(app.settings().layout.user_catalogue(), CATALOGUE).unwrap();
        let service = Self { app, folder };
        service.insert(&group_id(""), GROUPS_KIND, json!({ "location": "westus" })).await;
        for name in ["ide1", "ide2"] {
            let kind = "microsoft.managedidentity/userassignedidentities";
            let ids =
                json!({ "principalId": format!("p-{name}"), "clientId": format!("c-{name}") });
            service.insert(&identity(name), kind, json!({ "properties": ids })).await;
            for role in [roles::CONTRIBUTOR, roles::BLOB_READER] {
                service.assign(name, role, &format!("/subscriptions/{SUBSCRIPTION}")).await;
            }
        }
        service
    }

    async fn insert(&self, id: &str, kind: &str, body: Value) {
        self.insert_hidden(id, kind, body, json!({})).await;
    }

    async fn insert_hidden(&self, id: &str, kind: &str, body: Value, hidden: Value) {
        let now = Timestamp::now();
        let resource = Resource {
            id: id.to_owned(),
            subscription: id.split('/').nth(2).unwrap().to_lowercase(),
            group: id.split('/').nth(4).unwrap().to_lowercase(),
            kind: kind.to_owned(),
            name: id.rsplit('/').next().unwrap().to_owned(),
            revision: 0,
            created: now,
            changed: now,
            body,
            hidden,
        };
        self.app.store().commit(vec![Write::Insert(resource)]).await.unwrap();
    }

    /// Gives an identity a role.
    async fn assign(&self, name: &str, role: &str, scope: &str) {
        let principal = format!("p-{name}");
        let row = roles::assignment(scope, &principal, roles::SERVICE_PRINCIPAL, role);
        self.app.store().commit(vec![Write::InsertAssignment(row)]).await.unwrap();
    }

    /// Waits until all background work has ended.
    async fn idle(&self) {
        self.app.tasks().close();
        self.app.tasks().wait().await;
    }

    async fn put(&self, call: &Call) -> Result<Reply, ApiError> {
        ImageTemplates.put(&self.app, call, key(call)).await
    }

    async fn act(&self, version: &str, name: &str, action: &str) -> Result<Reply, ApiError> {
        let call = call(Method::Post, name, version, "");
        let verb = TEMPLATE_ACTIONS.verb(action).unwrap();
        arm::retry_overtaken(|| ImageTemplates.action(&self.app, &call, key(&call), verb)).await
    }

    async fn patch(&self, version: &str, name: &str, body: Value) -> Result<Reply, ApiError> {
        let call = call(Method::Patch, name, version, &body.to_string());
        let reply = ImageTemplates.patch(&self.app, &call, key(&call)).await?;
        self.idle().await;
        Ok(reply)
    }

    async fn delete(&self, name: &str) -> Result<Reply, ApiError> {
        let call = call(Method::Delete, name, "2024-02-01", "");
        ImageTemplates.delete(&self.app, &call, key(&call)).await
    }

    /// A template whose provisioning has ended.
    async fn created(&self, version: &str, name: &str, body: &Value) -> Value {
        let reply = self.put(&call(Method::Put, name, version, &body.to_string())).await.unwrap();
        assert_eq!(reply.status, StatusCode::CREATED);
        self.idle().await;
        self.get(version, name).await
    }

    async fn get(&self, version: &str, name: &str) -> Value {
        let call = call(Method::Get, name, version, "");
        let resource = self.row(&key(&call)).await.unwrap();
        ImageTemplates.view(&self.app, &call, &resource)
    }

    async fn row(&self, key: &ResourceKey) -> Option<Resource> {
        self.app.store().resource(key).await.unwrap()
    }

    /// The runs of a template, newest first.
    async fn runs(&self, name: &str) -> Vec<Run> {
        let key = key(&call(Method::Get, name, "2024-02-01", ""));
        self.app.store().runs_of(&key, 100).await.unwrap()
    }

    /// Ends the active run, as the worker does it.
    async fn end_run(&self, name: &str, state: RunState, message: &str) {
        let key = key(&call(Method::Get, name, "2024-02-01", ""));
        let template = self.row(&key).await.unwrap();
        let mut template = TemplateRecord::of(template).unwrap();
        let run = self.app.store().active_run(&key).await.unwrap().unwrap();
        let run = Run {
            state,
            sub_state: String::new(),
            message: message.to_owned(),
            ended: Some(Timestamp::now()),
            ..run
        };
        template.show_run(&run);
        let writes = vec![template.replace(), Write::ReplaceRun(run)];
        self.app.store().commit(writes).await.unwrap();
    }

    async fn operation(&self, reply: &Reply) -> Operation {
        let url = header(reply, "azure-asyncoperation").unwrap();
        let id = url.split('?').next().unwrap().rsplit('/').next().unwrap();
        self.app.store().operation(id).await.unwrap().unwrap()
    }
}

const VERSIONS_KIND: &str = "microsoft.compute/galleries/images/versions";

fn definition(name: &str) -> String {
    group_id(&format!("/providers/Microsoft.Compute/galleries/g/images/{name}"))
}

/// A template that is built upon the newest version of the definition `d`.
fn following() -> Value {
    let mut template = small();
    template["properties"]["source"] = json!({
        "type": "SharedImageVersion",
        "imageVersionId": format!("{}/versions/latest", definition("d")),
    });
    template
}

async fn app(folder: &std::path::Path) -> App {
    let settings = Settings {
        layout: Layout::new(folder.join("cache"), folder.join("data")),
        dir: folder.to_owned(),
        regions: vec!["westus".into(), "westus2".into(), "southcentralus".into()],
        tenant: "t".into(),
        subscription: SUBSCRIPTION.into(),
    };
    let url = format!("sqlite://{}", folder.join("db").display());
    let app = App::new(settings, Store::open(&url).await.unwrap(), CancellationToken::new());
    // The tests' own scripts are on loopback.
    app.set_fetch_limits(sources::fetch::Limits::for_others(["127.0.0.1".to_owned()]));
    app
}

fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
}

fn group_id(path: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg{path}")
}

fn identity(name: &str) -> String {
    group_id(&format!("/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"))
}

fn image(name: &str) -> String {
    group_id(&format!("/providers/Microsoft.Compute/images/{name}"))
}

fn call(method: Method, template: &str, version: &str, body: &str) -> Call {
    admitted(request(method, template, version, body))
}

fn admitted(request: Request) -> Call {
    Call::admit(request, Arc::new(Rights::everything()), &Rule::SignedIn).unwrap()
}

fn request(method: Method, template: &str, version: &str, body: &str) -> Request {
    Request {
        method,
        path: Path::parse(&group_id(&format!("/providers/{TEMPLATES}/{template}"))),
        query: BTreeMap::new(),
        api_version: version.to_owned(),
        body: body.to_owned(),
        base_url: "https://localhost:8443".to_owned(),
        request_id: "r".to_owned(),
        correlation_id: None,
        if_match: None,
        client: arm::Client::default(),
        caller: Caller { client_id: "c".into(), object_id: "o".into() },
    }
}

fn key(call: &Call) -> ResourceKey {
    ResourceKey::of(&call.path.text)
}

fn identities(name: &str) -> Value {
    json!({ "type": "UserAssigned", "userAssignedIdentities": { identity(name): {} } })
}

/// A small template without remote scripts.
fn small() -> Value {
    json!({
        "location": "westus",
        "identity": identities("ide1"),
        "properties": {
            "source": {
                "type": "PlatformImage", "publisher": "Canonical", "offer": "UbuntuServer",
                "sku": "18.04-LTS", "version": "latest",
            },
            "distribute": [{
                "type": "ManagedImage", "runOutputName": "img1",
                "imageId": image("img1"), "location": "westus",
            }],
        },
    })
}

/// Serves the same text to every client; returns its address.
async fn web(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let length = text.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close");
            let _ = stream.write_all(format!("{head}\r\n\r\n{text}").as_bytes()).await;
        }
    });
    format!("http://{address}/script.sh")
}

#[tokio::test]
async fn stale_commits_are_retried_at_once() {
    let service = Service::new().await;
    tokio::time::pause();
    let (begun, tries) = (tokio::time::Instant::now(), std::cell::Cell::new(0));
    until_done(&service.app, "lose to others", || async {
        tries.set(tries.get() + 1);
        match tries.get() {
            20.. => Ok(()),
            _ => Err(db::Error::Stale { key: "k".into() }),
        }
    })
    .await;
    assert_eq!(tries.get(), 20);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
