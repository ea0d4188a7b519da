//! Two subscriptions in one installation: nothing of one is seen from the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arm::group;
use db::{Cause, Operation, OperationStatus, Resource, ResourceKey, Run, RunState, Select, Write};
use futures_util::StreamExt;
use images::{
    event::Events,
    run_context::RunContext,
    store::{Labels, Origin, Payload, address::Address},
};
use jiff::Timestamp;
use providers::image_builder;
use runs::{
    following,
    worker::{Limits, Local, start},
};
use serde_json::json;
use service::{
    Quotas, app::changes::Scope, auth::ManagedIdentity, blobs, run_folder, subscriptions,
};
use sources::fetch;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use vm::{
    Host,
    fake::{Call, Fake},
};

use super::*;

/// A subscription that does not exist.
const NOWHERE_AT_ALL: &str = "77777777-7b3c-4b57-9f65-1d8f2a6b3c4d";
const RUN: &str = "00000000-0000-7000-8000-000000000001";
const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"];

/// An installation with a subscription beside the first one, and that one's Owner.
struct Tenants {
    place: Bench,
    other: String,
    /// The token of the Owner of the other subscription, who has no role elsewhere.
    stranger: String,
    administrator: String,
}

impl Tenants {
    async fn new() -> Self {
        let place = Bench::new().await;
        subscriptions::begin(&place.store, SUBSCRIPTION).await.unwrap();
        let other = subscriptions::create(&place.store, "Other").await.unwrap().id;
        let owner = principal::create(&place.store, "owner of the other").await.unwrap();
        let scope = format!("/subscriptions/{other}");
        place.store.commit(roles::ownership(&owner.client, &scope)).await.unwrap();
        let stranger = token(&place, &owner).await;
        let administrator = place.token(ARM).await;
        Self { place, other, stranger, administrator }
    }

    /// Status and body of the answer. The id of the subscription reads `{subscription}` in it.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        subscription: &str,
        token: &str,
    ) -> (StatusCode, String) {
        let path = path.replace("{subscription}", subscription);
        let body = if matches!(method, "GET" | "HEAD") { "" } else { "{}" };
        let response = self.place.send(method, &path, token, body).await;
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        (status, text.replace(subscription, "{subscription}"))
    }

    /// Asserts that the Owner of the other subscription gets the same answer in the first one as in one that does not
    /// exist.
    async fn is_hidden(&self, path: &str) {
        for method in METHODS {
            let real = self.ask(method, path, SUBSCRIPTION, &self.stranger).await;
            let unreal = self.ask(method, path, NOWHERE_AT_ALL, &self.stranger).await;
            assert_eq!(real, unreal, "{method} {path}");
            assert!(real.0.is_client_error(), "{method} {path}: {real:?}");
        }
    }
}

async fn token(place: &Bench, of: &Credentials) -> String {
    let body = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope={ARM}",
        of.client.client_id, of.secret
    );
    let response = place.send("POST", "/adfs/oauth2/token", "", body).await;
    value(response).await["access_token"].as_str().unwrap().to_owned()
}

/// A resource of each type, in the first subscription, with a run and its logs.
async fn furnish(place: &Bench) {
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/secret-group");
    let mut writes = vec![Write::Insert(row(&group, group::KIND))];
    for kind in providers::REGISTRY.types() {
        let (namespace, types) = kind.name().split_once('/').unwrap();
        // Runs have rows of their own.
        if kind.name() == "Microsoft.VirtualMachineImages/imageTemplates/runs" {
            continue;
        }
        let name = if kind.name().ends_with("storageAccounts") { "secretaccount" } else { "x" };
        let types: Vec<&str> = types.split('/').collect();
        let id = format!("{group}/providers/{namespace}/{}/{name}", types.join("/x/"));
        writes.push(Write::Insert(row(&id, &kind.name().to_lowercase())));
    }
    let template = format!("{group}/providers/Microsoft.VirtualMachineImages/imageTemplates/x");
    let template = ResourceKey::of(&template);
    let operation = Operation {
        id: RUN.to_owned(),
        subscription: SUBSCRIPTION.to_owned(),
        kind: "run".to_owned(),
        target: template.clone(),
        status: OperationStatus::Succeeded,
        error: None,
        started: Timestamp::now(),
        ended: Some(Timestamp::now()),
        origin: None,
    };
    writes.extend([Write::Operation(operation), Write::InsertRun(run(template))]);
    place.store.commit(writes).await.unwrap();
    let layout = &place.app.settings().layout;
    let files = [
        (run_folder::of(layout, RUN), "customization.log"),
        (run_folder::of(layout, RUN), run_folder::EVENTS),
        (blobs::root(layout).join("secretaccount/shell"), "hello.sh"),
    ];
    for (folder, name) in files {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), "secret\n").unwrap();
    }
}

fn row(id: &str, kind: &str) -> Resource {
    let ids = json!({ "principalId": "p", "clientId": "c", "provisioningState": "Succeeded" });
    let body = json!({ "location": "westus2", "tags": { "secret": "tag" }, "properties": ids });
    Resource {
        subscription: SUBSCRIPTION.to_owned(),
        ..Resource::new(id.to_owned(), kind, body, json!({}))
    }
}

fn run(template: ResourceKey) -> Run {
    Run {
        id: RUN.to_owned(),
        template,
        subscription: SUBSCRIPTION.to_owned(),
        operation: RUN.to_owned(),
        state: RunState::Succeeded,
        sub_state: String::new(),
        message: String::new(),
        queued: Timestamp::now(),
        ended: Some(Timestamp::now()),
        epoch: 0,
        vcpus: 1,
        memory_mib: 1,
        input: Value::Null,
        cause: Cause::Manual,
        optimization: None,
        owner: None,
        crashes: 0,
        worked: Duration::ZERO,
    }
}

/// Every path that says something of what is in the first subscription.
async fn paths(place: &Bench) -> Vec<String> {
    const S: &str = "/subscriptions/{subscription}";
    let select = Select { subscription: SUBSCRIPTION.to_owned(), ..Select::default() };
    let rows = place.store.list_all(select).await.unwrap();
    let mut ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let group = format!("{S}/resourceGroups/secret-group");
    let builder = "providers/Microsoft.VirtualMachineImages";
    let runs = format!("{group}/{builder}/imageTemplates/x/runs/{RUN}");
    for path in [
        String::new(),
        "/locations".to_owned(),
        "/providers".to_owned(),
        "/resourcegroups".to_owned(),
        "/resources".to_owned(),
        "/tagNames".to_owned(),
        "/providers/Microsoft.Compute/locations/westus2/publishers".to_owned(),
        "/providers/Microsoft.Compute/locations/westus2/vmSizes".to_owned(),
        "/providers/Microsoft.Resources/deployments".to_owned(),
        "/providers/Microsoft.Authorization/roleAssignments".to_owned(),
        "/providers/Microsoft.Authorization/roleDefinitions".to_owned(),
        "/providers/Microsoft.Authorization/locks".to_owned(),
        "/providers/Microsoft.Storage/checkNameAvailability".to_owned(),
        format!("/{builder}/runs/{RUN}"),
        format!("/{builder}/runs/{RUN}/events"),
        format!("/{builder}/runs/{RUN}/log"),
        format!("/{builder}/locations/westus2/operations/{RUN}"),
        format!("/operationresults/{RUN}"),
    ] {
        ids.push(format!("{S}{path}"));
    }
    ids.extend([format!("{runs}/events"), format!("{runs}/log"), format!("{group}/resources")]);
    ids.push(runs);
    let mut paths = Vec::new();
    for id in ids {
        let id = id.replace(SUBSCRIPTION, "{subscription}");
        let (above, _) = id.rsplit_once('/').unwrap();
        for path in [&id, above] {
            if path.contains("{subscription}") {
                paths.push(format!("{path}?api-version=2025-10-01"));
            }
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

#[tokio::test]
async fn owner_of_another_subscription_sees_what_is_not_there() {
    let tenants = Tenants::new().await;
    furnish(&tenants.place).await;
    let paths = paths(&tenants.place).await;
    let mut readable = 0;
    for path in &paths {
        let own = tenants.ask("GET", path, SUBSCRIPTION, &tenants.administrator).await;
        readable += usize::from(own.0.is_success());
        tenants.is_hidden(path).await;
    }
    assert!(readable > 40, "{readable} of {} paths are answered to who may", paths.len());
}

#[tokio::test]
async fn lists_of_a_subscription_have_nothing_of_another() {
    let tenants = Tenants::new().await;
    furnish(&tenants.place).await;
    let other = &tenants.other;
    for path in ["resources", "resourcegroups", "tagNames"] {
        let path = format!("/subscriptions/{other}/{path}?api-version=2022-12-01");
        let (status, text) = tenants.ask("GET", &path, other, &tenants.administrator).await;
        assert_eq!((status, text.contains("secret")), (StatusCode::OK, false), "{path}: {text}");
    }
    let all = |token: &str| {
        let request = tenants.place.router.clone().oneshot(
            Request::builder()
                .uri("/subscriptions?api-version=2022-12-01")
                .header("host", "localhost:1")
                .header("authorization", format!("Bearer {token}"))
                .body(Body::empty())
                .unwrap(),
        );
        async {
            let shown = value(request.await.unwrap()).await["value"].clone();
            let shown = shown.as_array().unwrap().iter();
            shown.map(|one| one["displayName"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(all(&tenants.stranger).await, ["Other"]);
    let mut names = all(&tenants.administrator).await;
    names.sort();
    assert_eq!(names, ["Goldsmith", "Other"]);
    // Known ids are answered to who may know them.
    let path = "/subscriptions/{subscription}?api-version=2022-12-01";
    let (status, _) = tenants.ask("GET", path, other, &tenants.stranger).await;
    assert_eq!(status, StatusCode::OK);
    let (status, text) = tenants.ask("GET", path, NOWHERE_AT_ALL, &tenants.administrator).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("subscriptionnotfound") && !text.contains(other.as_str()), "{text}");
}

/// A catalogue with versions of an image that only this subscription sees.
fn write_catalogue(place: &Bench, subscription: &str, versions: &[&str]) {
    let file = |version: &&str| {
        format!("[[image.file]]\nversion = \"{version}\"\npath = \"a.raw\"\nformat = \"raw\"\n")
    };
    let files: String = versions.iter().map(file).collect();
    let entry = format!(
        "[[image]]\npublisher = \"Acme\"\noffer = \"secret-base\"\nsku = \"gen2\"\ngeneration = 2\n\
         subscriptions = [\"{subscription}\"]\n{files}"
    );
    let layout = &place.app.settings().layout;
    std::fs::create_dir_all(layout.data()).unwrap();
    std::fs::write(layout.user_catalogue(), entry).unwrap();
}

#[tokio::test]
async fn image_of_the_catalogue_is_seen_by_its_subscriptions_only() {
    let tenants = Tenants::new().await;
    let Tenants { place, other, administrator, .. } = &tenants;
    write_catalogue(place, other, &["1.0"]);
    let path = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/westus2/publishers?api-version=2024-07-01";
    for (subscription, sees) in [(other.as_str(), true), (SUBSCRIPTION, false)] {
        let (status, text) = tenants.ask("GET", path, subscription, administrator).await;
        assert_eq!((status, text.contains("acme")), (StatusCode::OK, sees), "{text}");
    }
    let (status, text) = tenants.ask("GET", "/metadata/aliases.json", NOWHERE_AT_ALL, "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("debian12") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn names_of_storage_accounts_are_unique_in_the_installation() {
    let tenants = Tenants::new().await;
    furnish(&tenants.place).await;
    let Tenants { place, other, stranger, .. } = &tenants;
    let group = format!("/subscriptions/{other}/resourceGroups/g");
    let send = |method: &'static str, path: String, body: Value| async move {
        let path = format!("{path}?api-version=2023-01-01");
        let response = place.send(method, &path, stranger, body.to_string()).await;
        (response.status(), value(response).await)
    };
    let here = json!({ "location": "westus2" });
    assert_eq!(send("PUT", group.clone(), here).await.0, StatusCode::CREATED);
    let check = format!("/subscriptions/{other}/providers/Microsoft.Storage/checkNameAvailability");
    let asked = json!({ "name": "secretaccount", "type": "Microsoft.Storage/storageAccounts" });
    let (_, answer) = send("POST", check, asked).await;
    assert_eq!(
        (&answer["nameAvailable"], &answer["reason"]),
        (&json!(false), &json!("AlreadyExists"))
    );
    let account =
        |name: &str| format!("{group}/providers/Microsoft.Storage/storageAccounts/{name}");
    let body =
        json!({ "location": "westus2", "kind": "StorageV2", "sku": { "name": "Standard_LRS" } });
    let (status, answer) = send("PUT", account("secretaccount"), body.clone()).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::CONFLICT, &json!("StorageAccountAlreadyTaken"))
    );
    assert_eq!(send("PUT", account("ownaccount"), body).await.0, StatusCode::OK);
    // Its blobs are found by the name alone, and those of the other are refused.
    let (status, _) = tenants.ask("GET", "/storage/ownaccount?comp=list", other, stranger).await;
    assert_eq!(status, StatusCode::OK);
    for blob in ["shell/hello.sh", "shell/none.sh"] {
        let path = format!("/storage/secretaccount/{blob}");
        let (status, _) = tenants.ask("GET", &path, other, stranger).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{blob}");
    }
}

const LOCAL: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local";

/// A source that commands on this machine imported.
async fn store_image(place: &Bench, host: &Host) {
    let layout = place.app.settings().layout.clone();
    let disk = place.app.settings().dir.join("base.qcow2");
    vm::disk::create(host, &disk, "qcow2", 4 << 20).await.unwrap();
    let payload = Payload {
        digest: images::digest::digest(&std::fs::read(&disk).unwrap()),
        disk,
        virtual_size: 4 << 20,
        data: Vec::new(),
        origin: Origin {
            os_type: "Linux".into(),
            architecture: "x64".into(),
            generation: "V2".into(),
            ..Origin::default()
        },
        labels: Labels::default(),
    };
    let cx = RunContext::new(layout.clone(), Events::none(), CancellationToken::new());
    let target = format!("{LOCAL}/providers/Microsoft.Compute/images/base");
    let target = Address::parse(&target).unwrap();
    images::store::Store::open(&layout).publish_managed(&cx, &target, payload).await.unwrap();
}

/// Two subscriptions with the same template, on scripted machines.
struct Builders {
    tenants: Tenants,
    fake: Fake,
}

impl Builders {
    async fn new() -> Self {
        let tenants = Tenants::new().await;
        let place = &tenants.place;
        let host = Host::probe(None).await.expect("QEMU is installed (make setup)");
        store_image(place, &host).await;
        let fake = Fake::new();
        fake.on_call("generalize", |command, _| guests::linux::played(command));
        // The addresses of this test are on this machine.
        place.app.set_fetch_limits(fetch::Limits { attempts: 1, ..fetch::Limits::default() });
        let limits = Limits {
            boot_timeout: Duration::from_secs(5),
            cache_bytes: u64::MAX,
            capacity: None,
            keep_for: Duration::ZERO,
            log_bytes: images::log::DEFAULT_BYTES,
        };
        let executor = Local::new(&place.app, host, Arc::new(fake.clone()), limits);
        start(place.app.clone(), Arc::new(executor));
        Self { tenants, fake }
    }

    async fn put(&self, path: &str, body: &Value) -> Value {
        let path = format!("{path}?api-version=2025-10-01");
        let token = &self.tenants.administrator;
        let response = self.tenants.place.send("PUT", &path, token, body.to_string()).await;
        let (status, answer) = (response.status(), value(response).await);
        assert!(status.is_success(), "{path}: {answer}");
        answer
    }

    async fn template(&self, subscription: &str) -> String {
        let steps = json!([{ "type": "Shell", "inline": ["echo hello"] }]);
        let (template, shown) = self.template_of(subscription, &steps).await;
        assert_eq!(shown["provisioningState"], "Succeeded", "{shown}");
        template
    }

    /// A template in the subscription, with an identity that may do everything there: its id, and its properties once
    /// it is provisioned.
    async fn template_of(&self, subscription: &str, steps: &Value) -> (String, Value) {
        let image = format!("{LOCAL}/providers/Microsoft.Compute/images/base");
        let source = json!({ "type": "ManagedImage", "imageId": image });
        self.template_from(subscription, &source, steps).await
    }

    async fn template_from(
        &self,
        subscription: &str,
        source: &Value,
        steps: &Value,
    ) -> (String, Value) {
        let place = &self.tenants.place;
        let scope = format!("/subscriptions/{subscription}");
        let group = format!("{scope}/resourceGroups/rg");
        let here = json!({ "location": "westus2" });
        self.put(&group, &here).await;
        let identity = format!("{group}/providers/{}/builder", ManagedIdentity::KIND);
        let shown = self.put(&identity, &here).await;
        let principal = shown["properties"]["principalId"].as_str().unwrap();
        let grant =
            roles::assignment(&scope, principal, roles::SERVICE_PRINCIPAL, roles::CONTRIBUTOR);
        match place.store.commit(vec![Write::InsertAssignment(grant)]).await {
            // It has the role since the first template.
            Ok(()) | Err(db::Error::Stale { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        let template = format!(
            "{group}/providers/Microsoft.VirtualMachineImages/imageTemplates/t-{}",
            images::new_run_id()
        );
        let body = json!({
            "location": "westus2",
            "identity": { "type": "UserAssigned", "userAssignedIdentities": { identity: {} } },
            "properties": {
                "source": source,
                "customize": steps,
                "distribute": [{
                    "type": "ManagedImage", "runOutputName": "out", "location": "westus2",
                    "imageId": format!("{group}/providers/Microsoft.Compute/images/made"),
                }],
            },
        });
        self.put(&template, &body).await;
        place.app.tasks().close();
        place.app.tasks().wait().await;
        let key = ResourceKey::of(&template);
        let row = place.store.resource(&key).await.unwrap().unwrap();
        (template, row.body["properties"].clone())
    }

    /// Runs the template to its end. Returns how many machines started from power-on.
    async fn cold_starts(&self, template: &str) -> usize {
        let place = &self.tenants.place;
        let before = self.fake.calls().len();
        let path = format!("{template}/run?api-version=2025-10-01");
        let accepted = place.send("POST", &path, &self.tenants.administrator, "").await;
        assert_eq!(accepted.status(), StatusCode::ACCEPTED, "{}", value(accepted).await);
        let key = ResourceKey::of(template);
        let id = place.store.recent_runs(&key, 1).await.unwrap()[0].id.clone();
        following::events(&place.app, &id, 0).collect::<Vec<_>>().await;
        let run = place.store.run(&id).await.unwrap().unwrap();
        assert_eq!(run.state, RunState::Succeeded, "{}", run.message);
        let calls = self.fake.calls().split_off(before).into_iter();
        let is_cold = |call: &Call| matches!(call, Call::Start(spec) if spec.resume_from.is_none());
        calls.filter(is_cold).count()
    }

    async fn share(&self, subscription: &str) {
        let store = &self.tenants.place.store;
        subscriptions::share_cache(store, subscription, true).await.unwrap();
    }
}

#[tokio::test]
async fn same_template_boots_cold_in_another_subscription() {
    let builders = Builders::new().await;
    let own = builders.template(SUBSCRIPTION).await;
    let other = builders.template(&builders.tenants.other).await;
    assert_eq!(builders.cold_starts(&own).await, 1);
    assert_eq!(builders.cold_starts(&own).await, 0, "its own first boot is there");
    assert_eq!(builders.cold_starts(&other).await, 1);
    assert_eq!(builders.cold_starts(&other).await, 0);
}

#[tokio::test]
async fn shared_cache_saves_the_first_boot_of_who_shares_it() {
    let builders = Builders::new().await;
    let own = builders.template(SUBSCRIPTION).await;
    let other = builders.template(&builders.tenants.other).await;
    builders.share(SUBSCRIPTION).await;
    assert_eq!(builders.cold_starts(&own).await, 1);
    builders.share(&builders.tenants.other).await;
    assert_eq!(builders.cold_starts(&other).await, 0);
}

/// Serves one answer to every request. Returns its URL and the number of requests so far.
async fn serve(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret.sh", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            counted.fetch_add(1, Ordering::Relaxed);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, count)
}

#[tokio::test]
async fn checksum_of_another_subscriptions_script_is_fetched_or_refused() {
    let builders = Builders::new().await;
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\necho secret\n";
    let (secret, fetched) = serve(ok).await;
    let no = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (closed, refused) = serve(no).await;
    let steps = |url: &str, sum: &str| json!([{ "type": "Shell", "name": "s", "scriptUri": url, "sha256Checksum": sum }]);
    let (own, shown) = builders.template_of(SUBSCRIPTION, &steps(&secret, "")).await;
    assert_eq!(shown["provisioningState"], "Succeeded", "{shown}");
    let sum = shown["customize"][0]["sha256Checksum"].as_str().unwrap().to_owned();
    builders.cold_starts(&own).await;
    assert_eq!(fetched.load(Ordering::Relaxed), 1, "runs use what was fetched then");

    let other = builders.tenants.other.clone();
    let (_, shown) = builders.template_of(&other, &steps(&closed, &sum)).await;
    assert_eq!(shown["provisioningState"], "Failed", "{shown}");
    assert_eq!(refused.load(Ordering::Relaxed), 1, "the service asked for it");
    // Who can read it may have it.
    let (_, shown) = builders.template_of(SUBSCRIPTION, &steps(&closed, &sum)).await;
    assert_eq!(shown["provisioningState"], "Succeeded", "{shown}");
    assert_eq!((refused.load(Ordering::Relaxed), fetched.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test]
async fn quotas_count_per_subscription() {
    let builders = Builders::new().await;
    let place = &builders.tenants.place;
    place.app.set_quotas(Quotas { templates: 1, ..Quotas::default() });
    let own = builders.template(SUBSCRIPTION).await;
    let path = format!("{own}2?api-version=2025-10-01");
    let token = &builders.tenants.administrator;
    let stored = place.store.resource(&ResourceKey::of(&own)).await.unwrap().unwrap();
    let body = json!({
        "location": "westus2", "identity": stored.body["identity"],
        "properties": {
            "source": stored.body["properties"]["source"],
            "distribute": stored.body["properties"]["distribute"],
        },
    });
    let refused = place.send("PUT", &path, token, body.to_string()).await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert_eq!(code(&refused), "QuotaExceeded");
    builders.template(&builders.tenants.other).await;
}

#[tokio::test]
async fn trigger_follows_what_its_own_subscription_sees() {
    let builders = Builders::new().await;
    let (place, other) = (&builders.tenants.place, builders.tenants.other.clone());
    write_catalogue(place, &other, &["1.0"]);
    let source = json!({
        "type": "PlatformImage", "publisher": "Acme", "offer": "secret-base", "sku": "gen2",
        "version": "latest",
    });
    let steps = json!([]);
    let (_, hidden) = builders.template_from(SUBSCRIPTION, &source, &steps).await;
    assert_eq!(hidden["provisioningState"], "Failed", "{hidden}");
    let (template, shown) = builders.template_from(&other, &source, &steps).await;
    assert_eq!(shown["provisioningState"], "Succeeded", "{shown}");
    let trigger = json!({ "properties": { "kind": "SourceImage" } });
    builders.put(&format!("{template}/triggers/source"), &trigger).await;
    place.app.tasks().wait().await;

    write_catalogue(place, &other, &["1.0", "2.0"]);
    let now = Timestamp::now();
    image_builder::reconcile_sources(&place.app, &Scope::All, 3, now).await.unwrap();
    let runs = place.store.recent_runs(&ResourceKey::of(&template), 5).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].subscription, other);
}

#[tokio::test]
async fn local_images_are_seen_by_the_named_subscriptions() {
    let builders = Builders::new().await;
    let (place, other) = (&builders.tenants.place, builders.tenants.other.clone());
    let config = format!("[sharing]\nlocal-images = [\"{other}\"]\n");
    std::fs::write(place.app.settings().layout.config(), config).unwrap();
    let steps = json!([]);
    let (_, shown) = builders.template_of(&other, &steps).await;
    assert_eq!(shown["provisioningState"], "Succeeded", "{shown}");
    let (_, shown) = builders.template_of(SUBSCRIPTION, &steps).await;
    assert_eq!(shown["provisioningState"], "Failed", "{shown}");
    let message = shown["provisioningError"]["message"].as_str().unwrap();
    assert!(message.contains("There is no such image"), "{message}");
}
