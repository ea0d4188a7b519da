//! Every step of a run × every kind of failure, on the scripted machine: the first error is
//! reported with its step, and nothing remains.

use std::{path::Path, time::Duration};

use api::{
    ErrorCode,
    template::{Face, ParseOptions},
};
use engine::{
    build::{self, Freshness, Input, OnError, Plan, Report, Request},
    janitor,
};
use images::{
    error::{Error, Result},
    event::Events,
    first_contact::FirstContact,
    layout::Layout,
    ledger::{self, Ledger, Releasable},
    run_context::RunContext,
    step::{Fault, Faults, Step},
    store::{Labels, Origin, Payload, Store, address::Address},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use vm::{
    Ended, Host, MachineSpec, OsType,
    fake::{Call, Fake, Mishap, Point, Reaction, Then},
};

const RUN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
pub(crate) const SOURCE: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/base";
pub(crate) const TARGET: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/made";

/// A cache, a store with one source image, and a scripted backend.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) layout: Layout,
    pub(crate) host: Host,
    pub(crate) fake: Fake,
    /// Further properties of the template.
    pub(crate) also: Value,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::upon(FirstContact::CloudInit).await
    }

    /// With a source image that can be entered in that way.
    pub(crate) async fn upon(first_contact: FirstContact) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        let mut host = Host::probe(None).await.expect("QEMU is installed (make setup)");
        // Saves of RAM in the background need more processors than the guest has.
        host.cpus = 8;
        let fake = Fake::new();
        match first_contact.os() {
            OsType::Linux => {
                fake.on_call("generalize", |command, _| guests::linux::played(command))
            }
            OsType::Windows => guests::windows::played::install(&fake, |_| Reaction::exit(0)),
        }
        let bench = Self { dir, layout, host, fake, also: json!({}) };
        bench.store_source(first_contact).await;
        bench
    }

    async fn store_source(&self, first_contact: FirstContact) {
        let disk = self.dir.path().join("base.qcow2");
        vm::disk::create(&self.host, &disk, "qcow2", 4 << 20).await.unwrap();
        let payload = Payload {
            digest: sha256(&disk),
            disk,
            virtual_size: 4 << 20,
            data: Vec::new(),
            origin: Origin {
                os_type: first_contact.os().to_string(),
                architecture: "x64".into(),
                generation: "V2".into(),
                first_contact,
                ..Origin::default()
            },
            labels: Labels::default(),
        };
        let target = Address::parse(SOURCE).unwrap();
        Store::open(&self.layout).publish_managed(&self.cx(), &target, payload).await.unwrap();
    }

    pub(crate) fn cx(&self) -> RunContext {
        RunContext::new(self.layout.clone(), Events::none(), CancellationToken::new())
    }

    pub(crate) async fn plan(&self, cx: &RunContext) -> Plan {
        self.resolve(cx).await.unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    async fn resolve(&self, cx: &RunContext) -> Result<Plan, Vec<Error>> {
        build::resolve(cx, self.input()).await
    }

    pub(crate) fn input(&self) -> Input {
        let mut body = json!({
            "location": "here", "identity": { "type": "None" },
            "properties": {
                "source": { "type": "ManagedImage", "imageId": SOURCE },
                "customize": [
                    { "type": "Shell", "name": "one", "inline": ["echo one"] },
                    { "type": "Shell", "name": "two", "inline": ["echo two"] }
                ],
                "distribute": [{
                    "type": "ManagedImage", "runOutputName": "made", "location": "here",
                    "imageId": TARGET
                }]
            }
        });
        for (name, value) in self.also.as_object().into_iter().flatten() {
            body["properties"][name] = value.clone();
        }
        let text = body.to_string();
        let options = ParseOptions { api_version: None, face: Face::File };
        let parsed = engine::template::parse(&text, &options);
        let template = parsed.template.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
        let base_dir = self.dir.path().to_owned();
        Input {
            name: "matrix".into(),
            template,
            base_dir,
            metadata: None,
            fetch: sources::fetch::Limits::default(),
        }
    }

    pub(crate) fn request(&self) -> Request {
        let export = format!("raw={}", self.dir.path().join("out.raw").display());
        Request {
            exports: vec![export.parse().unwrap()],
            freshness: Freshness::default(),
            on_error: OnError::AsTemplate,
            keep_for: Duration::from_secs(600),
            boot_timeout: Duration::from_secs(5),
            cache_bytes: u64::MAX,
            run_id: None,
        }
    }

    pub(crate) async fn build(&self, cx: &RunContext) -> Result<Report> {
        let plan = self.plan(cx).await;
        build::build(cx, &self.host, &self.fake, &plan, &self.request()).await
    }

    /// The machines that were started, in order.
    pub(crate) fn starts(&self) -> Vec<MachineSpec> {
        let start = |call| if let Call::Start(spec) = call { Some(spec) } else { None };
        self.fake.calls().into_iter().filter_map(start).collect()
    }

    /// The ledger is empty, no work folder and no unfinished file exists, nothing was distributed.
    pub(crate) fn assert_clean(&self, what: &str) {
        assert_eq!(ledger::runs(&self.layout).unwrap(), Vec::<String>::new(), "{what}: ledger");
        let nodes = names(&self.layout.nodes());
        assert!(!nodes.iter().any(|name| name.starts_with('.')), "{what}: {nodes:?}");
        assert_eq!(names(&self.layout.runs()), Vec::<String>::new(), "{what}: runs");
        let here = names(self.dir.path());
        assert!(!here.iter().any(|name| name.contains("out.raw")), "{what}: {here:?}");
        assert_eq!(self.fake.running(), Vec::<std::path::PathBuf>::new(), "{what}: machines");
    }
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn sha256(path: &Path) -> String {
    images::digest::digest(&std::fs::read(path).unwrap())
}

pub(crate) const STEPS: [Step; 9] = [
    Step::Source,
    Step::Boot,
    Step::Customize(0),
    Step::Customize(1),
    Step::Generalize,
    Step::PowerOff,
    Step::Convert,
    Step::Distribute,
    Step::Export,
];

pub(crate) fn check(error: &Error, step: Step, code: ErrorCode, what: &str) {
    assert_eq!(error.code, code, "{what}: {error}");
    assert_eq!(error.step.as_deref(), Some(step.to_string().as_str()), "{what}: {error}");
}

#[tokio::test]
async fn every_step_releases_everything_after_an_error_and_a_panic() {
    for step in STEPS {
        for fault in [Fault::Error, Fault::Panic] {
            let bench = Bench::new().await;
            let cx = RunContext { faults: Faults::at(step, fault), ..bench.cx() };
            let error = bench.build(&cx).await.unwrap_err();
            let what = format!("{step} {fault:?}");
            check(&error, step, ErrorCode::InternalError, &what);
            bench.assert_clean(&what);
            // Completed work is not lost: the same build succeeds now.
            bench.build(&bench.cx()).await.unwrap_or_else(|e| panic!("{what}, again: {e}"));
        }
    }
}

#[tokio::test]
async fn every_step_releases_everything_after_cancel() {
    for step in STEPS {
        let bench = Bench::new().await;
        let cx = RunContext { faults: Faults::at(step, Fault::Hang), ..bench.cx() };
        let (result, ()) = tokio::join!(bench.build(&cx), async {
            cx.faults.hanging().await;
            cx.cancel.cancel();
        });
        let what = format!("{step} cancel");
        check(&result.unwrap_err(), step, ErrorCode::Canceled, &what);
        bench.assert_clean(&what);
    }
}

#[tokio::test]
async fn hanging_step_ends_at_the_build_deadline() {
    for step in STEPS {
        let bench = Bench::new().await;
        let cx = RunContext { faults: Faults::at(step, Fault::Hang), ..bench.cx() };
        let (result, ()) = tokio::join!(bench.build(&cx), async {
            cx.faults.hanging().await;
            // Only the clock can end the build now. qemu-img, which must not run under a paused
            // clock, has finished.
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(241 * 60)).await;
            tokio::time::resume();
        });
        let what = format!("{step} deadline");
        let error = result.unwrap_err();
        check(&error, step, ErrorCode::BuildTimeout, &what);
        // For every step, the field to change is the build timeout, not the step's own.
        assert_eq!(error.target.as_deref(), Some("properties.buildTimeoutInMinutes"), "{what}");
        assert!(error.message.starts_with("the build's time ran out"), "{error}");
        bench.assert_clean(&what);
    }
}

#[tokio::test]
async fn step_may_use_all_time_of_the_build() {
    for step in STEPS {
        let mut bench = Bench::new().await;
        bench.also = json!({ "buildTimeoutInMinutes": 960 });
        let cx = RunContext { faults: Faults::at(step, Fault::Hang), ..bench.cx() };
        let (result, ()) = tokio::join!(bench.build(&cx), async {
            cx.faults.hanging().await;
            tokio::time::pause();
            for hours in [15, 2] {
                tokio::time::advance(Duration::from_secs(hours * 60 * 60)).await;
                // Tasks whose timers fired run before the clock advances further.
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
            }
            tokio::time::resume();
        });
        check(&result.unwrap_err(), step, ErrorCode::BuildTimeout, "17 of 16 hours");
    }
}

#[tokio::test(start_paused = true)]
async fn step_outside_of_a_build_times_out() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
    let mut cx = RunContext::new(layout, Events::none(), CancellationToken::new());
    cx.faults = Faults::at(Step::Export, Fault::Hang);
    let error = cx.step(Step::Export, "export", async { Ok(()) }).await.unwrap_err();
    check(&error, Step::Export, ErrorCode::StepTimedOut, "no deadline");
    assert!(error.message.contains("24 hours") && error.hint.is_some(), "{error:?}");
}

#[tokio::test]
async fn full_host_disk_is_not_blamed_on_the_customizer() {
    let bench = Bench::new().await;
    bench.fake.on("mktemp", Reaction::then(Then::Gone(Ended::DiskFull)));
    let error = bench.build(&bench.cx()).await.unwrap_err();
    check(&error, Step::Customize(0), ErrorCode::DiskFull, "full");
    assert_eq!(error.target, None);
    assert!(!error.message.contains("customizer"), "{error}");
    bench.assert_clean("full");
}

#[tokio::test]
async fn machine_failure_is_reported_and_released() {
    let fail = |point| (point, Mishap::Fail("no luck".to_owned()));
    let cases = [
        (fail(Point::Start), Step::Boot),
        (fail(Point::Connect), Step::Boot),
        (fail(Point::Seal), Step::Boot),
        ((Point::Connect, Mishap::Gone(Ended::GuestPanic)), Step::Boot),
        ((Point::Seal, Mishap::Panic), Step::Boot),
        (fail(Point::WaitOff), Step::PowerOff),
    ];
    for ((point, mishap), step) in cases {
        let bench = Bench::new().await;
        let what = format!("{point:?} {mishap:?}");
        bench.fake.at(point, mishap);
        let error = bench.build(&bench.cx()).await.unwrap_err();
        assert_eq!(error.step.as_deref(), Some(step.to_string().as_str()), "{what}: {error}");
        bench.assert_clean(&what);
    }
}

#[tokio::test]
async fn failed_screenshot_does_not_hide_the_error() {
    let bench = Bench::new().await;
    bench.fake.at(Point::Screenshot, Mishap::Hang);
    bench.fake.on("mktemp", Reaction::exit(3));
    let error = bench.build(&bench.cx()).await.unwrap_err();
    check(&error, Step::Customize(0), ErrorCode::CustomizerFailed, "screenshot");
    bench.assert_clean("screenshot");
}

#[tokio::test]
async fn guest_lost_in_a_customizer_is_not_a_script_failure() {
    let bench = Bench::new().await;
    bench.fake.on("mktemp", Reaction::then(Then::Gone(Ended::GuestShutdown)));
    let error = bench.build(&bench.cx()).await.unwrap_err();
    check(&error, Step::Customize(0), ErrorCode::GuestStopped, "gone");
    bench.assert_clean("gone");
}

#[tokio::test]
async fn unchanged_template_starts_no_machine() {
    let bench = Bench::new().await;
    bench.build(&bench.cx()).await.unwrap();
    assert_eq!(bench.starts().len(), 1);
    std::fs::remove_file(bench.dir.path().join("out.raw")).unwrap();
    bench.build(&bench.cx()).await.unwrap();
    assert_eq!(bench.starts().len(), 1);
}

#[tokio::test]
async fn failed_release_stays_in_the_ledger_and_is_retried() {
    let bench = Bench::new().await;
    bench.fake.on("mktemp", Reaction::exit(1));
    bench.fake.at(Point::End, Mishap::Fail("not now".to_owned()));
    let error = bench.build(&bench.cx()).await.unwrap_err();
    check(&error, Step::Customize(0), ErrorCode::CustomizerFailed, "the first error wins");
    let runs = ledger::runs(&bench.layout).unwrap();
    let rows = ledger::rows_of(&bench.layout, &runs[0]).unwrap();
    // The build's machine and the one that tests saved RAM.
    let of_machines = rows.iter().filter(|row| matches!(row.held, Releasable::Machine { .. }));
    assert_eq!((of_machines.count(), rows.len()), (2, 2), "{rows:?}");

    bench.fake.behave(Point::End);
    assert_eq!(janitor::sweep(&bench.layout, &bench.fake).await.unwrap(), Vec::<String>::new());
    bench.assert_clean("swept");
}

#[tokio::test]
async fn repeated_release_succeeds() {
    let bench = Bench::new().await;
    let run_dir = bench.layout.runs().join(RUN);
    let every_kind = [
        Releasable::RunFolder { path: run_dir.clone() },
        Releasable::WorkNodes { nodes: bench.layout.nodes(), run_id: RUN.into() },
        Releasable::PartialFile { path: bench.dir.path().join("out.raw.partial") },
        Releasable::Machine { run_dir: run_dir.clone() },
        Releasable::Tap { name: "gs0123456789ab".into() },
    ];
    for _ in 0..2 {
        std::fs::create_dir_all(&run_dir).unwrap();
        std::fs::create_dir_all(bench.layout.nodes().join(format!(".new-{RUN}-0"))).unwrap();
        std::fs::write(bench.dir.path().join("out.raw.partial"), "half").unwrap();
        for round in 0..2 {
            let ledger = Ledger::open(&bench.layout, RUN).unwrap();
            for held in &every_kind {
                ledger.hold(held.clone()).unwrap();
            }
            drop(ledger);
            let problems = janitor::sweep(&bench.layout, &bench.fake).await.unwrap();
            assert_eq!(problems, Vec::<String>::new(), "round {round}");
            bench.assert_clean("twice");
        }
    }
}

/// Removes all nodes except the booted one, as an eviction would.
fn evict_except_boot(bench: &Bench) {
    let store = engine::node::NodeStore::new(&bench.layout);
    for round in 0..4 {
        for node in store.all().unwrap() {
            if node.meta.kind != "Boot" {
                store.remove(&node).unwrap();
            }
        }
        assert!(round < 3 || store.all().unwrap().len() == 1);
    }
}

#[tokio::test]
async fn evicted_node_is_made_again_and_gives_a_new_image() {
    let bench = Bench::new().await;
    let first = bench.build(&bench.cx()).await.unwrap();
    std::fs::remove_file(bench.dir.path().join("out.raw")).unwrap();
    let artifacts = names(&bench.layout.artifacts());
    evict_except_boot(&bench);

    let second = bench.build(&bench.cx()).await.unwrap();
    assert_eq!(first.nodes, second.nodes, "the same names");
    let scripts = bench.fake.commands().iter().filter(|c| c.contains("mktemp")).count();
    assert_eq!(scripts, 4, "both customizers ran again");
    let again = names(&bench.layout.artifacts());
    assert!(
        again.len() > artifacts.len(),
        "an image of the former node is not given out: {again:?}"
    );
}

#[tokio::test]
async fn node_with_a_child_or_a_user_is_not_evicted() {
    let bench = Bench::new().await;
    bench.build(&bench.cx()).await.unwrap();
    let store = engine::node::NodeStore::new(&bench.layout);
    let all = store.all().unwrap();
    let boot = all.iter().find(|node| node.meta.kind == "Boot").unwrap();
    let last = all.iter().find(|node| node.meta.kind == "Generalize").unwrap();
    assert!(!store.remove(boot).unwrap());
    let hold = store.hold(&last.meta.key).unwrap().unwrap();
    assert!(!store.remove(last).unwrap());
    drop(hold);
    assert!(store.remove(last).unwrap());
    assert!(store.get(&last.meta.key).unwrap().is_none());
}

#[tokio::test]
async fn machine_of_another_cache_is_released() {
    let bench = Bench::new().await;
    let elsewhere = bench.dir.path().join("big/cache");
    let run_dir = elsewhere.join("runs").join(RUN);
    std::fs::create_dir_all(&run_dir).unwrap();
    std::fs::create_dir_all(elsewhere.join("nodes").join(format!(".new-{RUN}-0"))).unwrap();
    let ledger = Ledger::open(&bench.layout, RUN).unwrap();
    ledger.hold(Releasable::RunFolder { path: run_dir.clone() }).unwrap();
    ledger
        .hold(Releasable::WorkNodes { nodes: elsewhere.join("nodes"), run_id: RUN.into() })
        .unwrap();
    drop(ledger);
    let problems = janitor::sweep(&bench.layout, &bench.fake).await.unwrap();
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(names(&elsewhere.join("runs")), Vec::<String>::new());
    assert_eq!(names(&elsewhere.join("nodes")), Vec::<String>::new());
}

#[tokio::test]
async fn foreign_folder_in_the_ledger_is_not_removed() {
    let bench = Bench::new().await;
    let precious = bench.dir.path().join("precious");
    std::fs::create_dir_all(&precious).unwrap();
    let ledger = Ledger::open(&bench.layout, RUN).unwrap();
    ledger.hold(Releasable::RunFolder { path: precious.clone() }).unwrap();
    drop(ledger);
    let problems = janitor::sweep(&bench.layout, &bench.fake).await.unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(precious.exists());
}

#[tokio::test]
async fn interrupted_run_resumes_under_its_name_despite_no_cache() {
    let bench = Bench::new().await;
    let request = Request {
        freshness: Freshness::FRESH,
        run_id: Some(RUN.to_owned()),
        exports: Vec::new(),
        ..bench.request()
    };
    let build = async |cx: &RunContext| {
        let plan = bench.plan(cx).await;
        build::build(cx, &bench.host, &bench.fake, &plan, &request).await
    };
    let cx = RunContext { faults: Faults::at(Step::Customize(1), Fault::Error), ..bench.cx() };
    build(&cx).await.unwrap_err();
    let report = build(&bench.cx()).await.unwrap();
    assert_eq!(report.run_id, RUN);
    let scripts = bench.fake.commands().iter().filter(|c| c.contains("mktemp")).count();
    assert_eq!(scripts, 2, "each customizer once");
}

#[tokio::test]
async fn run_id_must_be_a_guid() {
    let bench = Bench::new().await;
    let request = Request { run_id: Some("../x".to_owned()), ..bench.request() };
    let plan = bench.plan(&bench.cx()).await;
    let built = build::build(&bench.cx(), &bench.host, &bench.fake, &plan, &request).await;
    let error = built.unwrap_err();
    assert!(error.message.contains("`../x`"), "{error}");
    bench.assert_clean("a bad name");
}

#[tokio::test]
async fn failed_export_reports_published_images() {
    let bench = Bench::new().await;
    let cx = RunContext { faults: Faults::at(Step::Export, Fault::Error), ..bench.cx() };
    let error = bench.build(&cx).await.unwrap_err();
    check(&error, Step::Export, ErrorCode::InternalError, "export");
    let published = format!("published: made {TARGET}");
    assert!(error.details.contains(&published), "{:?}", error.details);
}

#[tokio::test]
async fn oversized_vhd_is_rejected_before_the_build() {
    let mut bench = Bench::new().await;
    bench.also = json!({ "vmProfile": { "osDiskSizeGB": 2041 } });
    let export = format!("vhd={}", bench.dir.path().join("out.vhd").display());
    let request = Request { exports: vec![export.parse().unwrap()], ..bench.request() };
    let plan = bench.plan(&bench.cx()).await;
    let built = build::build(&bench.cx(), &bench.host, &bench.fake, &plan, &request).await;
    let error = built.unwrap_err();
    assert_eq!(error.target.as_deref(), Some("properties.vmProfile.osDiskSizeGB"), "{error}");
    assert!(bench.fake.calls().is_empty(), "no machine was started");
    bench.assert_clean("a disk too large");
}

#[tokio::test]
async fn build_rejects_the_same_templates_as_the_service() {
    let mut bench = Bench::new().await;
    let network = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n";
    let vnet = json!({ "subnetId": format!("{network}/subnets/s"), "proxyVmSize": "bogus" });
    let image = json!({
        "type": "ManagedImage", "runOutputName": "made", "location": "mars", "imageId": TARGET
    });
    bench.also = json!({ "vmProfile": { "vnetConfig": vnet }, "distribute": [image] });
    let errors = bench.resolve(&bench.cx()).await.unwrap_err();
    let targets: Vec<_> = errors.iter().filter_map(|error| error.target.as_deref()).collect();
    assert!(targets.contains(&"properties.distribute[0].location"), "{errors:?}");
    assert!(targets.contains(&"properties.vmProfile.vnetConfig.proxyVmSize"), "{errors:?}");
}
