//! Machines on the bridge that a subnet is bound to, on the scripted machine: the assignment of
//! ports.

use api::{
    ErrorCode,
    template::{Face, ParseOptions},
};
use engine::{
    build::{self, Input, Plan},
    janitor,
};
use images::{
    error::Error,
    ledger::{self, Ledger, Releasable},
    run_context::RunContext,
    step::{Fault, Faults, Step},
};
use serde_json::json;
use vm::{MachineSpec, Qemu, fake::Call};

use crate::matrix::{Bench, SOURCE, TARGET};

const SUBNET: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/build";
const FIELD: &str = "properties.vmProfile.vnetConfig.subnetId";

async fn plan(bench: &Bench, cx: &RunContext, script: &str) -> Result<Plan, Vec<Error>> {
    let text = json!({
        "location": "here", "identity": { "type": "None" },
        "properties": {
            "vmProfile": { "vnetConfig": { "subnetId": SUBNET } },
            "source": { "type": "ManagedImage", "imageId": SOURCE },
            "customize": [{ "type": "Shell", "name": "one", "inline": [script] }],
            "distribute": [{
                "type": "ManagedImage", "runOutputName": "made", "location": "here",
                "imageId": TARGET
            }]
        }
    })
    .to_string();
    let options = ParseOptions { api_version: None, face: Face::File };
    let template = engine::template::parse(&text, &options).template.unwrap();
    let input = Input {
        name: "network".into(),
        template,
        base_dir: bench.dir.path().to_owned(),
        metadata: None,
        fetch: sources::fetch::Limits::default(),
    };
    build::resolve(cx, input).await
}

fn bind(bench: &Bench, bridge: &str) {
    std::fs::create_dir_all(bench.layout.data()).unwrap();
    // In another spelling, as ids are compared without case.
    let lines = format!("[[subnet]]\nid = \"{}\"\nbridge = \"{bridge}\"\n", SUBNET.to_uppercase());
    let lines = lines.replace("/SUBSCRIPTIONS", "/subscriptions");
    std::fs::write(bench.layout.config(), lines).unwrap();
}

async fn build(bench: &Bench, cx: &RunContext, script: &str) -> images::error::Result<()> {
    let plan = plan(bench, cx, script).await.unwrap();
    let request = build::Request { exports: Vec::new(), ..bench.request() };
    build::build(cx, &bench.host, &bench.fake, &plan, &request).await.map(drop)
}

/// All machines started so far.
fn machines(bench: &Bench) -> Vec<MachineSpec> {
    let calls = bench.fake.calls().into_iter();
    calls.filter_map(|call| if let Call::Start(spec) = call { Some(spec) } else { None }).collect()
}

fn plugged_in(bench: &Bench) -> usize {
    bench.fake.calls().iter().filter(|call| **call == Call::PlugIn).count()
}

#[tokio::test]
async fn unbound_subnet_is_rejected_with_the_lines_that_bind_it() {
    let bench = Bench::new().await;
    let errors = plan(&bench, &bench.cx(), "true").await.unwrap_err();
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!(error.code, ErrorCode::ValidationFailed);
    assert_eq!(error.target.as_deref(), Some(FIELD));
    assert!(error.message.contains(SUBNET), "{error}");
    let hint = error.hint.as_deref().unwrap();
    let lines = format!("[[subnet]]\nid = \"{SUBNET}\"\nbridge = \"br0\"");
    assert!(hint.contains(&lines), "{hint}");
    assert!(hint.contains(bench.layout.config().to_str().unwrap()), "{hint}");

    // The lines in the hint do bind it.
    std::fs::create_dir_all(bench.layout.data()).unwrap();
    std::fs::write(bench.layout.config(), lines).unwrap();
    let plan = plan(&bench, &bench.cx(), "true").await.unwrap();
    assert_eq!(plan.subnet.unwrap().bridge, "br0");
}

#[tokio::test]
async fn missing_bridge_is_reported_before_the_build() {
    let bench = Bench::new().await;
    bind(&bench, "gs-no-bridge");
    let cx = bench.cx();
    let plan = plan(&bench, &cx, "true").await.unwrap();
    let qemu = Qemu::new(bench.host.clone());
    let built = build::build(&cx, &bench.host, &qemu, &plan, &bench.request()).await;
    let error = built.unwrap_err();
    assert_eq!(error.code, ErrorCode::HostNotReady);
    assert_eq!(error.target.as_deref(), Some(FIELD));
    for part in ["gs-no-bridge", SUBNET] {
        assert!(error.message.to_lowercase().contains(&part.to_lowercase()), "{error}");
    }
    assert!(error.hint.unwrap().contains("ip link add"));
    bench.assert_clean("no bridge");
    assert!(!bench.layout.nodes().exists());
}

#[tokio::test]
async fn concurrent_machines_on_one_bridge_have_different_ports() {
    let bench = Bench::new().await;
    bind(&bench, "br0");
    let first = RunContext { faults: Faults::at(Step::Customize(0), Fault::Hang), ..bench.cx() };
    let (result, ()) = tokio::join!(build(&bench, &first, "echo one"), async {
        first.faults.hanging().await;
        let run = ledger::runs(&bench.layout).unwrap().remove(0);
        let rows = ledger::rows_of(&bench.layout, &run).unwrap();
        let tap = machines(&bench)[0].bridge.clone().unwrap().tap;
        assert!(
            rows.iter().any(|row| row.held == Releasable::Tap { name: tap.clone() }),
            "{rows:?}"
        );
        build(&bench, &bench.cx(), "echo two").await.unwrap();
        first.cancel.cancel();
    });
    assert_eq!(result.unwrap_err().code, ErrorCode::Canceled);
    // The first port is free again, and its node is resumed at its own address.
    build(&bench, &bench.cx(), "echo three").await.unwrap();
    bench.assert_clean("ports");

    let [one, two, three] = machines(&bench).try_into().unwrap();
    let bridge = |spec: &MachineSpec| spec.bridge.clone().unwrap();
    assert_eq!(bridge(&one).name, "br0");
    assert_ne!(bridge(&one).mac, bridge(&two).mac);
    assert_ne!(bridge(&one).tap, bridge(&two).tap);
    assert!(two.resume_from.is_none(), "it is a machine of its own, and has a first boot");
    assert_eq!(bridge(&one), bridge(&three));
    assert!(three.resume_from.is_some());
    assert_eq!(plugged_in(&bench), 1, "the cable of the resumed one, and no other");
}

#[tokio::test]
async fn different_bridge_requires_another_first_boot() {
    let bench = Bench::new().await;
    for bridge in ["br0", "br1", "br0"] {
        bind(&bench, bridge);
        build(&bench, &bench.cx(), "echo one").await.unwrap();
    }
    let started: Vec<_> = machines(&bench).into_iter().map(|m| m.bridge.unwrap().name).collect();
    assert_eq!(started, ["br0", "br1"], "the third found everything done");
}

#[tokio::test]
async fn foreign_device_in_the_ledger_is_not_removed() {
    let bench = Bench::new().await;
    let ledger = Ledger::open(&bench.layout, "01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
    for name in ["lo", "gs0123456789ab"] {
        ledger.hold(Releasable::Tap { name: name.to_owned() }).unwrap();
    }
    drop(ledger);
    let problems = janitor::sweep(&bench.layout, &bench.fake).await.unwrap();
    assert_eq!(problems.len(), 1, "a port that is not there is released: {problems:?}");
    assert!(problems[0].contains("lo is not a port of a build machine"), "{problems:?}");
    assert!(vm::tap::exists("lo"));
}
