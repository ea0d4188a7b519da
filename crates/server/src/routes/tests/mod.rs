//! Calls through [`handle`](super::handle), each test with its own SQLite file.

mod activity;
mod compute;
mod deployments;
mod groups;
mod locks;
mod other_types;
mod overtaken;
mod preconditions;
mod requests;
mod roles;
mod tag_rights;
mod targets;
mod visible;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arm::{ApiError, Call, Caller, Method, Path, Reply, Request};
use authorization::{Rights, Rule};
use db::{Resource, ResourceKey, Run, RunState, Store, Write};
use http::StatusCode;
use images::layout::Layout;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::{
    App, Settings,
    roles::{OWNER, SERVICE_PRINCIPAL, assignment},
    tasks,
};
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
        let owner = assignment("", "o", SERVICE_PRINCIPAL, OWNER);
        store.commit(vec![Write::InsertAssignment(owner)]).await.unwrap();
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
        let call = Self::request(method, path, query, body, if_match);
        handle(&self.app, call).await
    }

    fn request(
        method: Method,
        path: &str,
        query: BTreeMap<String, String>,
        body: &str,
        if_match: Option<&str>,
    ) -> Request {
        let api_version = query.get("api-version").cloned();
        Request {
            method,
            path: Path::parse(path),
            query,
            api_version: api_version.unwrap_or_else(|| "2024-07-01".to_owned()),
            body: body.to_owned(),
            base_url: "https://localhost:8443".to_owned(),
            request_id: "r".to_owned(),
            correlation_id: None,
            if_match: if_match.map(str::to_owned),
            client: arm::Client::default(),
            caller: Caller { client_id: "c".to_owned(), object_id: "o".to_owned() },
        }
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

    /// Writes a row in the way of the service.
    async fn write(&self, id: &str, kind: &str, body: Value) {
        let existing = self.app.store().resource(&ResourceKey::of(id)).await.unwrap();
        let revision = existing.map_or(0, |existing| existing.revision);
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

/// For a type that is called without the routes.
fn admitted(request: Request) -> Call {
    Call::admit(request, Arc::new(Rights::everything()), &Rule::SignedIn).unwrap()
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
