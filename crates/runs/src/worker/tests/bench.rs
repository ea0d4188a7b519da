//! A service without HTTP: a real database, the engine, and a scripted machine.

use std::{path::PathBuf, pin::pin, sync::Arc, time::Duration};

use db::{
    Error, Operation, OperationStatus, Resource, ResourceKey, RoleAssignment, Run, RunState, Store,
    Write,
};
use futures_util::StreamExt;
use images::{
    event::Events,
    layout::Layout,
    run_context::RunContext,
    store::{Labels, Origin, Payload, address::Address},
};
use jiff::Timestamp;
use providers::image_builder::record::TemplateRecord;
use serde_json::{Value, json};
use service::{App, Settings, roles};
use tokio_util::sync::CancellationToken;
use vm::{
    Host,
    fake::{Fake, Reaction, Then},
};

use super::super::{Capacity, Limits, Local, start};
use crate::following;

pub(super) const GROUP: &str = "/subscriptions/s/resourceGroups/Rg";
const COMPUTE: &str = "/subscriptions/s/resourceGroups/Rg/providers/Microsoft.Compute";

pub(super) fn compute(rest: &str) -> String {
    format!("{COMPUTE}/{rest}")
}

pub(super) fn identity(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
}

/// The state that outlives a process: folders, database, host.
pub(super) struct Bench {
    pub dir: tempfile::TempDir,
    pub layout: Layout,
    pub host: Host,
    pub fake: Fake,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        let host = Host::probe(None).await.expect("QEMU is installed (make setup)");
        let fake = Fake::new();
        fake.on_call("generalize", |command, _| guests::linux::played(command));
        let bench = Self { dir, layout, host, fake };
        bench.store_source().await;
        bench
    }

    async fn store_source(&self) {
        let disk = self.dir.path().join("base.qcow2");
        vm::disk::create(&self.host, &disk, "qcow2", 4 << 20).await.unwrap();
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
        let cx = RunContext::new(self.layout.clone(), Events::none(), CancellationToken::new());
        let target = Address::parse(&compute("images/base")).unwrap();
        let store = images::store::Store::open(&self.layout);
        store.publish_managed(&cx, &target, payload).await.unwrap();
    }

    fn database(&self) -> String {
        format!("sqlite://{}", self.dir.path().join("server.db").display())
    }

    /// Changes the database behind the service's back. A process has created it.
    pub(super) async fn sql(&self, statement: &'static str) {
        db::execute_raw(&self.database(), statement).await.unwrap();
    }

    /// A process: everything is opened anew.
    pub(super) async fn process(&self) -> Process {
        let url = self.database();
        let store = Store::open(&url).await.unwrap();
        let settings = Settings {
            layout: self.layout.clone(),
            dir: self.dir.path().join("server"),
            regions: vec!["westus2".into()],
            tenant: "t".into(),
            subscription: "s".into(),
        };
        let app = App::new(settings, store, CancellationToken::new());
        app.set_base_url("https://here:8443".into());
        let process = Process { app, fake: self.fake.clone(), host: self.host.clone() };
        if process.resource(GROUP).await.is_none() {
            process.insert("microsoft.resources/resourcegroups", GROUP).await;
            process.insert_identity("i").await;
            process.assign("i", roles::CONTRIBUTOR).await;
        }
        process
    }

    /// The machine's scripts hang (`mktemp` begins each of them) if they contain this text.
    pub(super) fn hang_at(&self, text: &'static str) {
        self.fake.on_call("mktemp", move |_, script| {
            if String::from_utf8_lossy(script).contains(text) {
                Reaction::then(Then::Hang)
            } else {
                Reaction::exit(0)
            }
        });
    }

    pub(super) fn assert_everything_is_released(&self) {
        assert_eq!(images::ledger::runs(&self.layout).unwrap(), Vec::<String>::new());
        assert_eq!(self.fake.running(), Vec::<PathBuf>::new());
    }
}

/// One life of the service.
pub(super) struct Process {
    pub app: App,
    fake: Fake,
    host: Host,
}

impl Process {
    pub(super) fn work(&self, capacity: Option<Capacity>) -> tokio::task::JoinHandle<()> {
        start(self.app.clone(), self.executor(capacity))
    }

    pub(super) fn executor(&self, capacity: Option<Capacity>) -> Arc<Local> {
        let limits = Limits {
            boot_timeout: Duration::from_secs(5),
            cache_bytes: u64::MAX,
            keep_for: Duration::from_secs(600),
            log_bytes: images::log::DEFAULT_BYTES,
            capacity,
        };
        let backend = Arc::new(self.fake.clone());
        Arc::new(Local::new(&self.app, self.host.clone(), backend, limits))
    }

    /// A template of this name, with a run of it that waits.
    pub(super) async fn submit(&self, name: &str, distribute: Value) -> String {
        self.submit_with(name, distribute, &json!({})).await
    }

    /// The same with further properties.
    pub(super) async fn submit_with(&self, name: &str, distribute: Value, also: &Value) -> String {
        let mut body = body(distribute);
        for (name, value) in also.as_object().into_iter().flatten() {
            body["properties"][name] = value.clone();
        }
        let staging = format!("/subscriptions/s/resourceGroups/IT_{name}");
        body["properties"]["exactStagingResourceGroup"] = json!(staging);
        let template = Resource {
            id: format!("{GROUP}/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}"),
            hidden: json!({ "staging": staging, "stagingAccount": format!("st{name}") }),
            ..resource("microsoft.virtualmachineimages/imagetemplates", name, body)
        };
        self.insert("microsoft.resources/resourcegroups", &staging).await;
        let account = format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/st{name}");
        self.insert("microsoft.storage/storageaccounts", &account).await;
        let (run, operation) = queued(&template, Timestamp::now());
        self.wait_with(run, vec![Write::Insert(template), operation]).await
    }

    /// One more run of an existing template, as if requested at that time.
    pub(super) async fn submit_again(&self, name: &str, at: Timestamp) -> String {
        let id = format!("{GROUP}/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}");
        let template = self.resource(&id).await.unwrap();
        let (run, operation) = queued(&template, at);
        self.wait_with(run, vec![operation]).await
    }

    async fn wait_with(&self, run: Run, mut writes: Vec<Write>) -> String {
        let id = run.id.clone();
        writes.push(Write::InsertRun(run));
        self.app.store().commit(writes).await.unwrap();
        self.app.wake_worker();
        id
    }

    /// An identity without rights.
    pub(super) async fn insert_identity(&self, name: &str) {
        let kind = "microsoft.managedidentity/userassignedidentities";
        let ids = json!({ "clientId": format!("c-{name}"), "principalId": format!("p-{name}") });
        let body = json!({ "location": "westus2", "properties": ids });
        let row = Resource { id: identity(name), ..resource(kind, name, body) };
        self.app.store().commit(vec![Write::Insert(row)]).await.unwrap();
    }

    /// Gives an identity a role in the subscription.
    pub(super) async fn assign(&self, name: &str, role: &str) -> RoleAssignment {
        let principal = format!("p-{name}");
        let row = roles::assignment("/subscriptions/s", &principal, roles::SERVICE_PRINCIPAL, role);
        self.app.store().commit(vec![Write::InsertAssignment(row.clone())]).await.unwrap();
        row
    }

    /// Takes every role from an identity.
    pub(super) async fn revoke(&self, name: &str) {
        let rows = self.app.store().assignments_of(&format!("p-{name}")).await.unwrap();
        let writes = rows.iter().map(|row| Write::RemoveAssignment(row.key(), row.revision));
        self.app.store().commit(writes.collect()).await.unwrap();
    }

    pub(super) async fn insert(&self, kind: &str, id: &str) {
        self.insert_in("westus2", kind, id).await;
    }

    pub(super) async fn insert_in(&self, location: &str, kind: &str, id: &str) {
        let name = id.rsplit('/').next().unwrap();
        let body = json!({ "location": location, "properties": {} });
        let group = id.split('/').nth(4).unwrap_or_default().to_lowercase();
        let row = Resource { id: id.to_owned(), group, ..resource(kind, name, body) };
        self.app.store().commit(vec![Write::Insert(row)]).await.unwrap();
    }

    /// As the request does it: run and template in one commit.
    pub(super) async fn cancel(&self, id: &str) {
        loop {
            let run = self.run(id).await;
            let template = TemplateRecord::find(self.app.store(), &run.template).await;
            let mut template = template.unwrap().unwrap();
            let run = Run { state: RunState::Canceling, sub_state: String::new(), ..run };
            template.show_run(&run);
            let writes = vec![template.replace(), Write::ReplaceRun(run)];
            match self.app.store().commit(writes).await {
                Err(Error::Stale { .. }) => {}
                done => break done.unwrap(),
            }
        }
        self.app.wake_worker();
    }

    pub(super) async fn run(&self, id: &str) -> Run {
        self.app.store().run(id).await.unwrap().unwrap()
    }

    pub(super) async fn resource(&self, id: &str) -> Option<Resource> {
        self.app.store().resource(&ResourceKey::of(id)).await.unwrap()
    }

    pub(super) async fn operation(&self, run: &Run) -> Operation {
        self.app.store().operation(&run.operation).await.unwrap().unwrap()
    }

    /// Follows the run to its end, which is when the stream ends.
    pub(super) async fn ended(&self, id: &str) -> Run {
        let all = following::events(&self.app, id, 0).collect::<Vec<_>>();
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("the run ends");
        self.run(id).await
    }

    /// Waits until the run begins this step.
    pub(super) async fn reached(&self, id: &str, step: &str) {
        let begins = |event: &Value| event["kind"] == "stepStarted" && event["step"] == step;
        self.seen(id, step, begins).await;
    }

    /// Waits until the run reports this.
    pub(super) async fn seen(&self, id: &str, what: &str, is_it: impl Fn(&Value) -> bool) {
        let mut events = pin!(following::events(&self.app, id, 0));
        let seen = async {
            while let Some((_, text)) = events.next().await {
                if is_it(&serde_json::from_str(&text).unwrap()) {
                    return;
                }
            }
            panic!("the run ended before: {what}");
        };
        tokio::time::timeout(Duration::from_secs(60), seen).await.expect(what);
    }
}

/// A run of the template that waits since that time, and what writes its operation.
fn queued(template: &Resource, at: Timestamp) -> (Run, Write) {
    let operation = Operation {
        id: images::new_run_id(),
        subscription: "s".into(),
        kind: "run".into(),
        target: template.key(),
        status: OperationStatus::InProgress,
        error: None,
        started: at,
        ended: None,
        origin: None,
    };
    let run = Run {
        id: images::new_run_id(),
        template: template.key(),
        subscription: "s".into(),
        operation: operation.id.clone(),
        state: RunState::Queued,
        sub_state: "Queued".into(),
        message: String::new(),
        queued: at,
        ended: None,
        epoch: 0,
        vcpus: 2,
        memory_mib: 2048,
        input: template.body.clone(),
        cause: db::Cause::Manual,
        optimization: None,
        owner: None,
        crashes: 0,
        worked: Duration::ZERO,
    };
    (run, Write::Operation(operation))
}

fn resource(kind: &str, name: &str, body: Value) -> Resource {
    Resource {
        id: String::new(),
        subscription: "s".into(),
        group: "rg".into(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        revision: 0,
        created: Timestamp::now(),
        changed: Timestamp::now(),
        body,
        hidden: json!({}),
    }
}

fn body(distribute: Value) -> Value {
    json!({
        "location": "westus2",
        "tags": {},
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { identity("i"): {} } },
        "properties": {
            "provisioningState": "Succeeded",
            "source": { "type": "ManagedImage", "imageId": compute("images/base") },
            "customize": [
                { "type": "Shell", "name": "one", "inline": ["echo one"] },
                { "type": "Shell", "name": "two", "inline": ["echo two"] }
            ],
            "distribute": distribute,
        },
    })
}
