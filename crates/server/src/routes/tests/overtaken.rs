//! Requests beside a rival, which stands for the service's own writes: the end of a run, of a copy to a region, of a
//! schedule's turn.
//!
//! The runtime of a test has one thread, and a commit runs in a task of its own. So when a request waits and there is
//! such a task, it has read all of its rows, and its commit has not begun: the rival writes just then.

use std::{
    future::poll_fn,
    pin::pin,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use providers::REGISTRY;
use tokio::runtime::Handle;

use super::*;

/// How often the rival overtakes a request.
const OVERTAKEN: usize = 3;
const TEMPLATE: &str = "Microsoft.VirtualMachineImages/imageTemplates";

/// Writes rows from a thread of its own.
struct Rival {
    orders: SyncSender<ResourceKey>,
    written: Receiver<()>,
}

impl Rival {
    fn of(server: &Server) -> Self {
        let url = format!("sqlite://{}", server.app.settings().dir.join("goldsmith.db").display());
        let (orders, keys) = sync_channel::<ResourceKey>(0);
        let (done, written) = sync_channel(0);
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let store = runtime.block_on(Store::open(&url)).unwrap();
            for key in keys {
                runtime.block_on(async {
                    let row = store.resource(&key).await.unwrap();
                    let writes = row.into_iter().map(Write::Replace).collect();
                    store.commit(writes).await.unwrap();
                });
                done.send(()).unwrap();
            }
        });
        Self { orders, written }
    }

    /// Writes a row without changing what it says. It may be missing.
    fn write(&self, key: &ResourceKey) {
        self.orders.send(key.clone()).unwrap();
        self.written.recv().unwrap();
    }

    /// The answer to a request that the rival overtakes several times, if it commits as often.
    async fn beside<T>(&self, row: &ResourceKey, request: impl Future<Output = T>) -> T {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let (mut request, idle, mut writes) = (pin!(request), tasks(), 0);
        let answer = poll_fn(|cx| {
            let polled = request.as_mut().poll(cx);
            if polled.is_pending() && tasks() > idle && writes < OVERTAKEN {
                self.write(row);
                writes += 1;
            }
            polled
        });
        let answer = answer.await;
        assert!(writes > 0, "the request committed nothing");
        answer
    }
}

struct Scene {
    server: Server,
    rival: Rival,
}

/// A method, a path below the group and a body.
type Request = (Method, String, Value);

impl Scene {
    async fn new() -> Self {
        let server = Server::with_group().await;
        server.gallery().await;
        server.image("src", json!({})).await;
        let rival = Rival::of(&server);
        let scene = Self { server, rival };
        scene.template().await;
        scene
    }

    async fn send(&self, (method, path, body): &Request) -> Result<Reply, ApiError> {
        let slash = if path.is_empty() { "" } else { "/" };
        let path = Server::in_subscription(&format!("resourceGroups/Rg{slash}{path}"));
        let query = BTreeMap::from([("api-version".to_owned(), "2024-02-01".to_owned())]);
        self.server.send(*method, &path, query, &body.to_string(), None).await
    }

    /// Waits until all background work has ended.
    async fn idle(&self) {
        self.server.app.tasks().close();
        self.server.app.tasks().wait().await;
    }

    /// Sends a request after `before`. The rival writes `row`, a path below the group.
    async fn succeeds(&self, before: Option<&Request>, request: &Request, row: &str) {
        if let Some(request) = before {
            self.send(request).await.unwrap();
        }
        self.idle().await;
        let slash = if row.is_empty() { "" } else { "/" };
        let row = Server::in_subscription(&format!("resourceGroups/rg{slash}{row}"));
        let answer = self.rival.beside(&ResourceKey::of(&row), self.send(request)).await;
        assert!(answer.is_ok(), "{:?} {} beside {row}: {answer:?}", request.0, request.1);
        self.idle().await;
    }

    /// Adds the template `t`, as after its provisioning.
    async fn template(&self) {
        let id = Server::in_subscription(&format!("resourceGroups/Rg/providers/{TEMPLATE}/t"));
        let definition = format!("resourceGroups/Rg/{COMPUTE}/galleries/Gal/images/Def");
        let image = format!("resourceGroups/Rg/{COMPUTE}/images/out");
        let identity =
            "resourceGroups/Rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";
        let body = json!({
            "location": "westus2",
            "identity": { "type": "UserAssigned", "userAssignedIdentities": {
                (Server::in_subscription(identity)): {},
            } },
            "properties": {
                "provisioningState": "Succeeded",
                "source": {
                    "type": "SharedImageVersion",
                    "imageVersionId": Server::in_subscription(&format!("{definition}/versions/latest")),
                },
                "distribute": [{
                    "type": "ManagedImage", "runOutputName": "o", "location": "westus2",
                    "imageId": Server::in_subscription(&image),
                }],
            },
        });
        self.server.write(&id, TEMPLATE, body).await;
    }
}

fn version() -> Request {
    let source = format!("resourceGroups/rg/{COMPUTE}/images/src");
    let body = json!({ "location": "westus2", "properties": {
        "publishingProfile": { "targetRegions": [{ "name": "westus2" }] },
        "storageProfile": { "source": { "id": Server::in_subscription(&source) } },
    } });
    (Method::Put, format!("{COMPUTE}/galleries/gal/images/def/versions/1.0.0"), body)
}

fn tags(at: &str, value: &str) -> Request {
    let path = format!("{at}/providers/Microsoft.Resources/tags/default");
    let tags = json!({ "goldsmith.schedule": value });
    (Method::Put, path, json!({ "properties": { "tags": tags } }))
}

fn retag(path: &str) -> Request {
    (Method::Patch, path.to_owned(), json!({ "tags": { "a": "b" } }))
}

#[tokio::test]
async fn version_is_written_beside_the_end_of_a_copy() {
    let scene = Scene::new().await;
    let put = version();
    let path = put.1.clone();
    scene.succeeds(Some(&put), &put, &path).await;
    scene.succeeds(Some(&put), &retag(&path), &path).await;
    scene.succeeds(Some(&put), &tags(&path, ""), &path).await;
    scene.succeeds(Some(&put), &(Method::Delete, path.clone(), json!({})), &path).await;
}

#[tokio::test]
async fn image_is_written_beside_the_end_of_a_run() {
    let scene = Scene::new().await;
    let path = format!("{COMPUTE}/images/one");
    let body = json!({ "location": "westus2", "properties": {
        "storageProfile": { "osDisk": {
            "osType": "Linux", "osState": "Generalized", "blobUri": "https://x/y.vhd",
        } },
    } });
    let put: Request = (Method::Put, path.clone(), body);
    scene.succeeds(Some(&put), &put, &path).await;
    scene.succeeds(Some(&put), &retag(&path), &path).await;
    scene.succeeds(Some(&put), &(Method::Delete, path.clone(), json!({})), &path).await;
}

#[tokio::test]
async fn template_is_written_beside_the_steps_of_a_run() {
    let scene = Scene::new().await;
    let path = format!("providers/{TEMPLATE}/t");
    let run: Request = (Method::Post, format!("{path}/run"), json!({}));
    let cancel: Request = (Method::Post, format!("{path}/cancel"), json!({}));
    let trigger: Request = (
        Method::Put,
        format!("{path}/triggers/one"),
        json!({ "properties": { "kind": "SourceImage" } }),
    );
    let remove = |path: &str| -> Request { (Method::Delete, path.to_owned(), json!({})) };
    scene.succeeds(None, &run, &path).await;
    scene.succeeds(None, &cancel, &path).await;
    scene.succeeds(None, &retag(&path), &path).await;
    scene.succeeds(None, &trigger, &path).await;
    scene.succeeds(Some(&trigger), &trigger, &trigger.1).await;
    scene.succeeds(Some(&trigger), &remove(&trigger.1), &trigger.1).await;
    scene.succeeds(None, &remove(&path), &path).await;
}

#[tokio::test]
async fn tags_are_written_beside_runs_and_due_schedules() {
    let scene = Scene::new().await;
    let path = format!("providers/{TEMPLATE}/t");
    let (daily, weekly) = (tags(&path, "0 3 * * *"), tags(&path, "0 3 * * 1"));
    let schedule = format!("{path}/schedules/default");
    for row in [&path, &schedule] {
        scene.succeeds(Some(&daily), &weekly, row).await;
        let remove = (Method::Delete, daily.1.clone(), json!({}));
        scene.succeeds(Some(&daily), &remove, row).await;
    }
}

#[tokio::test]
async fn group_and_account_are_written_beside_their_template() {
    let scene = Scene::new().await;
    let put: Request = (Method::Put, String::new(), json!({ "location": "westus2" }));
    scene.succeeds(None, &put, "").await;
    scene.succeeds(None, &retag(""), "").await;
    let path = "providers/Microsoft.Storage/storageAccounts/acct1";
    let body =
        json!({ "location": "westus2", "kind": "StorageV2", "sku": { "name": "Standard_LRS" } });
    let put: Request = (Method::Put, path.to_owned(), body);
    let key = (Method::Post, format!("{path}/regenerateKey"), json!({ "keyName": "key1" }));
    scene.succeeds(Some(&put), &put, path).await;
    scene.succeeds(Some(&put), &retag(path), path).await;
    scene.succeeds(Some(&put), &key, path).await;
}

#[tokio::test]
async fn rival_overtakes_a_single_attempt() {
    let scene = Scene::new().await;
    let (method, path, body) = version();
    scene.send(&(method, path.clone(), body.clone())).await.unwrap();
    let path = Server::in_subscription(&format!("resourceGroups/rg/{path}"));
    let key = ResourceKey::of(&path);
    let kind = REGISTRY.find("microsoft.compute", "galleries/images/versions").unwrap();
    let call = Server::request(method, &path, BTreeMap::new(), &body.to_string(), None);
    let call = admitted(call);
    let put = kind.put(&scene.server.app, &call, key.clone());
    let refused = scene.rival.beside(&key, put).await.unwrap_err();
    assert!(refused.is_overtaken, "{refused:?}");
}

#[tokio::test]
async fn overtaken_request_with_etag_fails_its_precondition() {
    let scene = Scene::new().await;
    let (method, path, body) = version();
    let made = scene.send(&(method, path.clone(), body.clone())).await.unwrap();
    let etag = header(&made, "etag");
    let path = Server::in_subscription(&format!("resourceGroups/rg/{path}"));
    let (key, body) = (ResourceKey::of(&path), body.to_string());
    let put = scene.server.send(method, &path, BTreeMap::new(), &body, etag);
    let refused = scene.rival.beside(&key, put).await;
    assert_eq!(code(refused), (412, "PreconditionFailed".into()));
}
