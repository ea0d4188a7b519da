//! The worker on a real database and a scripted machine.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bench;
mod metadata;
mod regions;
mod rights;
mod vhds;

use std::time::Duration;

use db::{OperationStatus, Run, RunState, Select, Write};
use engine::template::Target;
use providers::{compute::artifacts, image_builder::record::RunInput};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use vm::fake::{Call, Reaction};

use self::bench::{Bench, GROUP, Process, compute};
use super::Capacity;
use crate::following::{self, Whose};
use images::{event::RunOutput, step::CUSTOMIZATION_LOG};

fn managed(name: &str) -> Value {
    json!([{ "type": "ManagedImage", "runOutputName": "made", "location": "West US 2",
        "imageId": compute(&format!("images/{name}")), "artifactTags": { "k": "v" } }])
}

fn of(run: &Run) -> Whose {
    Whose::Template(run.template.clone())
}

async fn status(process: &Process, name: &str) -> Value {
    let id = format!("{GROUP}/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}");
    process.resource(&id).await.unwrap().body["properties"]["lastRunStatus"].clone()
}

async fn output(process: &Process, template: &str, name: &str) -> Option<Value> {
    let id = format!(
        "{GROUP}/providers/Microsoft.VirtualMachineImages/imageTemplates/{template}/runOutputs/{name}"
    );
    process.resource(&id).await.map(|found| found.body["properties"].clone())
}

// conformance: 94, 103
#[tokio::test(flavor = "multi_thread")]
async fn successful_run_leaves_outputs_and_images() {
    let bench = Bench::new().await;
    let process = bench.process().await;
    process.work(None);
    process.insert("microsoft.compute/galleries", &compute("galleries/g")).await;
    // A version is in its gallery's region.
    let definition = ("microsoft.compute/galleries/images", compute("galleries/g/images/d"));
    process.insert_in("eastus", definition.0, &definition.1).await;
    let mut targets = managed("made");
    let more = [
        json!({ "type": "SharedImage", "runOutputName": "shared",
            "galleryImageId": compute("galleries/g/images/d"),
            "targetRegions": [{ "name": "westus2", "replicaCount": 2 }] }),
        json!({ "type": "VHD", "runOutputName": "disk" }),
    ];
    targets.as_array_mut().unwrap().extend(more);
    let id = process.submit("t", targets).await;
    let run = process.ended(&id).await;
    assert_eq!((run.state, run.message.as_str()), (RunState::Succeeded, ""));
    let shown = status(&process, "t").await;
    assert_eq!((&shown["runState"], &shown["message"]), (&json!("Succeeded"), &json!("")));
    assert!(shown.get("runSubState").is_none(), "{shown}");
    let operation = process.operation(&run).await;
    assert_eq!((operation.status, operation.error), (OperationStatus::Succeeded, None));

    let made = output(&process, "t", "made").await.unwrap();
    assert_eq!(
        made,
        json!({ "artifactId": compute("images/made"), "provisioningState": "Succeeded" })
    );
    let disk = output(&process, "t", "disk").await.unwrap();
    let time = run.queued.strftime("%Y%m%d%H%M%S");
    let vhd = format!("/storage/stt/vhds/disk_{time}.vhd");
    assert_eq!(disk["artifactUri"], json!(format!("https://here:8443{vhd}")));
    assert!(disk.get("artifactId").is_none(), "{disk}");
    let vhd = bench.layout.data().join(format!("server{vhd}"));
    assert_eq!(std::fs::metadata(vhd).unwrap().len() % 512, 0);
    assert_eq!(std::fs::read_dir(bench.layout.blobs().join("vhds")).unwrap().count(), 0);
    let image = process.resource(&compute("images/made")).await.unwrap();
    assert_eq!(
        (&image.body["location"], &image.body["tags"]["k"]),
        (&json!("westus2"), &json!("v"))
    );
    assert_eq!(image.body["properties"]["hyperVGeneration"], "V2");
    assert_eq!(image.body["properties"]["storageProfile"]["osDisk"]["osState"], "Generalized");
    let shared = output(&process, "t", "shared").await.unwrap();
    let version = process.resource(shared["artifactId"].as_str().unwrap()).await.unwrap();
    assert_eq!(version.kind, "microsoft.compute/galleries/images/versions");
    assert_eq!(version.body["location"], "westus2");
    let region = &version.body["properties"]["publishingProfile"]["targetRegions"][0];
    assert_eq!(
        (&region["name"], &region["regionalReplicaCount"]),
        (&json!("West US 2"), &json!(2))
    );
    bench.assert_everything_is_released();
}

// conformance: 93
#[tokio::test(flavor = "multi_thread")]
async fn optimization_figures_are_in_the_result_and_survive_a_restart() {
    let bench = Bench::new().await;
    // So that the test sees the phase while it lasts.
    bench.fake.on("optimize", Reaction::then(vm::fake::Then::Hang));
    let process = bench.process().await;
    let worker = process.work(None);
    let also = json!({ "optimize": { "vmBoot": { "state": "Enabled" } } });
    let id = process.submit_with("t", managed("made"), &also).await;
    process.reached(&id, "optimize").await;
    let optimizing = async {
        while status(&process, "t").await["runSubState"] != "Optimizing" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), optimizing).await.expect("the phase is written");
    process.app.shutdown().cancel();
    tokio::time::timeout(Duration::from_secs(30), worker).await.unwrap().unwrap();
    assert_eq!(process.run(&id).await.optimization, None);

    bench.fake.on("optimize", Reaction::exit(0));
    let next = bench.process().await;
    next.work(None);
    let run = next.ended(&id).await;
    assert_eq!(run.state, RunState::Succeeded, "{}", run.message);
    let figures = run.optimization.expect("figures");
    for name in ["bootSecondsBefore", "bootSecondsAfter", "bytesBefore", "bytesAfter"] {
        assert!(figures[name].as_f64().is_some_and(|value| value > 0.0), "{name} in {figures}");
    }
    let later = bench.process().await;
    assert_eq!(later.run(&id).await.optimization, Some(figures));
    bench.assert_everything_is_released();
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_customize_afresh_on_the_same_booted_node() {
    let bench = Bench::new().await;
    let process = bench.process().await;
    process.work(None);
    for name in ["a", "b"] {
        let id = process.submit(name, managed(name)).await;
        assert_eq!(process.ended(&id).await.state, RunState::Succeeded);
    }
    let scripts = bench.fake.commands().iter().filter(|c| c.contains("mktemp")).count();
    assert_eq!(scripts, 4, "two customizers, twice");
}

// conformance: 51
#[tokio::test(flavor = "multi_thread")]
async fn failing_customizer_is_reported_with_its_log() {
    let bench = Bench::new().await;
    bench.fake.on("mktemp", Reaction::exit(3).err("no such package\n"));
    let process = bench.process().await;
    process.work(None);
    let id = process.submit("t", managed("made")).await;
    let run = process.ended(&id).await;
    assert_eq!(run.state, RunState::Failed);
    let url = format!(
        "Image Build log location: https://here:8443/storage/stt/packerlogs/{id}/customization.log. OperationId: {}",
        run.operation
    );
    assert!(run.message.contains(&url) && run.message.contains("customize[0]"), "{}", run.message);
    assert_eq!(status(&process, "t").await["message"], json!(run.message));
    let error = process.operation(&run).await.error.unwrap();
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("CustomizerFailed"), &json!(run.message))
    );
    assert!(output(&process, "t", "made").await.is_none());

    let log = following::log(&process.app, &of(&run), &id, CUSTOMIZATION_LOG).await.unwrap();
    let log = read(log).await;
    let line = format!("[{id}] PACKER ERR no such package\n");
    assert!(log.contains(&line), "{log:?}");
    bench.assert_everything_is_released();
}

async fn read(mut log: tokio::fs::File) -> String {
    let mut text = String::new();
    log.read_to_string(&mut text).await.unwrap();
    text
}

/// Kinds and names of the resources in the staging group of template `t`.
async fn staged(process: &Process) -> Vec<String> {
    let select = Select {
        subscription: "s".into(),
        group: Some("it_t".into()),
        limit: 100,
        ..Select::default()
    };
    let rows = process.app.store().list(&select).await.unwrap().resources;
    rows.iter().map(|row| row.kind.rsplit('/').next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_is_listed_while_its_run_holds_it() {
    let bench = Bench::new().await;
    bench.hang_at("echo two");
    let process = bench.process().await;
    let worker = process.work(None);
    let id = process.submit("t", managed("made")).await;
    process.reached(&id, "customize[1]").await;
    let shown = async || {
        while staged(&process).await.len() < 6 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), shown()).await.expect("the machine is shown");
    let mut kinds = staged(&process).await;
    kinds.sort();
    assert_eq!(
        kinds,
        [
            "disks",
            "networkinterfaces",
            "networksecuritygroups",
            "subnets",
            "virtualmachines",
            "virtualnetworks"
        ]
    );
    // The service ends while the machine is there, as if it were killed: the rows stay.
    let select = Select {
        subscription: "s".into(),
        group: Some("it_t".into()),
        limit: 100,
        ..Select::default()
    };
    let rows = process.app.store().list(&select).await.unwrap().resources;
    process.app.shutdown().cancel();
    worker.await.unwrap();
    let next = bench.process().await;
    let back = rows.into_iter().map(Write::Insert).collect();
    next.app.store().commit(back).await.unwrap();
    bench.fake.on("mktemp", Reaction::exit(0));
    next.work(None);
    assert_eq!(next.ended(&id).await.state, RunState::Succeeded);
    assert_eq!(staged(&next).await, Vec::<String>::new());
    bench.assert_everything_is_released();
}

// conformance: 96, 138
#[tokio::test(flavor = "multi_thread")]
async fn active_run_is_canceled() {
    let bench = Bench::new().await;
    bench.hang_at("echo two");
    let process = bench.process().await;
    process.work(None);
    let id = process.submit("t", managed("made")).await;
    process.reached(&id, "customize[1]").await;
    assert_eq!(process.run(&id).await.state, RunState::Running);
    assert_eq!(status(&process, "t").await["runState"], "Running");
    // The row follows the event.
    let customizing = async {
        while status(&process, "t").await["runSubState"] != "Customizing" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), customizing).await.expect("the phase is written");
    process.cancel(&id).await;
    let run = process.ended(&id).await;
    assert_eq!(run.state, RunState::Canceled);
    assert_eq!(status(&process, "t").await["runState"], "Canceled");
    assert_eq!(process.operation(&run).await.status, OperationStatus::Canceled);
    bench.assert_everything_is_released();
}

// conformance: 96
#[tokio::test(flavor = "multi_thread")]
async fn run_beyond_capacity_waits_and_can_be_canceled() {
    let bench = Bench::new().await;
    bench.hang_at("echo one");
    let process = bench.process().await;
    process.work(Some(Capacity { vcpus: 2, memory_mib: 1 << 20 }));
    let first = process.submit("a", managed("a")).await;
    process.reached(&first, "customize[0]").await;
    let [second, third] =
        [process.submit("b", managed("b")).await, process.submit("c", managed("c")).await];
    process.cancel(&second).await;
    assert_eq!(process.ended(&second).await.state, RunState::Canceled);
    assert_eq!(process.run(&third).await.state, RunState::Queued);
    process.cancel(&first).await;
    process.reached(&third, "customize[0]").await;
    assert_eq!(process.run(&first).await.state, RunState::Canceled);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_gallery_is_reported_before_the_build() {
    let bench = Bench::new().await;
    let process = bench.process().await;
    process.work(None);
    let target = json!([{ "type": "SharedImage", "runOutputName": "shared",
        "galleryImageId": compute("galleries/none/images/d"), "replicationRegions": ["westus2"] }]);
    let id = process.submit("t", target).await;
    let run = process.ended(&id).await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(process.operation(&run).await.error.unwrap()["code"], "BadSharedImageDistribute");
    assert!(run.message.contains("galleries/none"), "{}", run.message);
    assert!(bench.fake.calls().is_empty());
}

// conformance: 88
#[tokio::test(flavor = "multi_thread")]
async fn one_failing_distributor_of_two_is_a_partial_success() {
    let bench = Bench::new().await;
    std::fs::write(bench.layout.blobs(), "in the way").unwrap();
    let process = bench.process().await;
    process.work(None);
    let mut targets = managed("made");
    targets.as_array_mut().unwrap().push(json!({ "type": "VHD", "runOutputName": "disk" }));
    let id = process.submit("t", targets).await;
    let run = process.ended(&id).await;
    assert_eq!(run.state, RunState::PartiallySucceeded, "{}", run.message);
    assert!(run.message.contains("1 images out of total 2"), "{}", run.message);
    assert!(output(&process, "t", "made").await.is_some());
    assert!(output(&process, "t", "disk").await.is_none());
}

// conformance: 88
#[tokio::test(flavor = "multi_thread")]
async fn target_without_its_place_is_a_partial_success() {
    let bench = Bench::new().await;
    // A folder whose parent is not there is on a disk that is not mounted.
    let config = "[[account]]\nname = \"disks\"\nplace = \"unmounted/disks\"\n";
    std::fs::create_dir_all(bench.layout.data()).unwrap();
    std::fs::write(bench.layout.data().join("goldsmith.toml"), config).unwrap();
    let process = bench.process().await;
    process.work(None);
    let mut targets = managed("made");
    let vhd = json!({ "type": "VHD", "runOutputName": "disk",
        "uri": "https://disks.blob.core.windows.net/vhds/x.vhd" });
    targets.as_array_mut().unwrap().push(vhd);
    let id = process.submit("t", targets).await;
    let run = process.ended(&id).await;
    assert_eq!(run.state, RunState::PartiallySucceeded, "{}", run.message);
    assert_eq!(process.operation(&run).await.error.unwrap()["code"], "HostNotReady");
    assert!(output(&process, "t", "made").await.is_some());
    assert!(output(&process, "t", "disk").await.is_none());
}

// conformance: 137
#[tokio::test(flavor = "multi_thread")]
async fn orderly_end_leaves_the_run_to_the_next_start() {
    let bench = Bench::new().await;
    bench.hang_at("echo two");
    let process = bench.process().await;
    let worker = process.work(None);
    let id = process.submit("t", managed("made")).await;
    process.reached(&id, "customize[1]").await;
    process.app.shutdown().cancel();
    tokio::time::timeout(Duration::from_secs(30), worker).await.unwrap().unwrap();
    assert_eq!(process.run(&id).await.state, RunState::Queued);
    bench.assert_everything_is_released();
    bench.hang_at("nothing");
    let next = bench.process().await;
    next.work(None);
    assert_eq!(next.ended(&id).await.state, RunState::Succeeded);
}

/// Runs a service until the run hangs in its second customizer, and then cuts it off: its tasks are
/// dropped where they are, and what they hold stays in the ledger.
fn cut_off(bench: &Bench) -> String {
    bench.hang_at("echo two");
    // With one thread nothing runs while the tasks are dropped: otherwise a run could see that its journal has
    // gone, and end in order.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let id = runtime.block_on(async {
        let process = bench.process().await;
        process.work(None);
        let id = process.submit("t", managed("made")).await;
        let sealed = |event: &Value| event["kind"] == "sealed" && event["title"] == "one";
        process.seen(&id, "the node of the first customizer", sealed).await;
        process.reached(&id, "customize[1]").await;
        id
    });
    runtime.shutdown_timeout(Duration::from_secs(10));
    assert!(images::ledger::runs(&bench.layout).unwrap().contains(&id), "it was cut off");
    id
}

// conformance: 137
#[test]
fn interrupted_run_continues() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::new());
    let id = cut_off(&bench);
    bench.hang_at("nothing");
    runtime.block_on(async {
        let process = bench.process().await;
        assert_eq!(process.run(&id).await.state, RunState::Running);
        process.work(None);
        let run = process.ended(&id).await;
        assert_eq!((run.state, run.epoch), (RunState::Succeeded, 2), "{}", run.message);
        let ran = |call: &&Call| matches!(call, Call::Run { stdin, .. } if String::from_utf8_lossy(stdin).contains("echo one"));
        assert_eq!(bench.fake.calls().iter().filter(ran).count(), 1, "its node was there");
        let dir = bench.layout.runs().join(&id);
        assert!(bench.fake.calls().contains(&Call::End(dir)), "its machine was ended");
        bench.assert_everything_is_released();
    });
}

#[test]
fn interrupted_run_is_retried_until_the_database_accepts_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::new());
    let id = cut_off(&bench);
    bench.hang_at("nothing");
    runtime.block_on(async {
        let process = bench.process().await;
        let mut worker = super::Worker {
            app: process.app.clone(),
            executor: process.executor(None),
            active: std::collections::HashMap::new(),
            resumed: None,
            tasks: tokio::task::JoinSet::new(),
        };
        bench
            .sql("CREATE TRIGGER fails BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'no'); END")
            .await;
        worker.advance().await.unwrap();
        let (begun, was_begun) = worker.tasks.join_next().await.unwrap().unwrap();
        assert_eq!((&begun, was_begun), (&id, false));
        worker.release(&begun, was_begun);
        bench.sql("DROP TRIGGER fails").await;
        worker.advance().await.unwrap();
        let run = process.ended(&id).await;
        assert_eq!(run.state, RunState::Succeeded, "{}", run.message);
        bench.assert_everything_is_released();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn two_targets_with_one_id_write_the_later() {
    let bench = Bench::new().await;
    let process = bench.process().await;
    let id = process.submit("t", managed("made")).await;
    let run = process.run(&id).await;
    let mut template = RunInput::of(&run).unwrap().template;
    let first = template.properties.distribute[0].clone();
    let tags = [("k".to_owned(), "later".to_owned())].into();
    let again = Target { run_output_name: "again".into(), artifact_tags: tags, ..first };
    template.properties.distribute.push(again);
    let made = |name: &str, image: &str| RunOutput {
        run_output_name: name.into(),
        kind: "ManagedImage".into(),
        artifact_id: Some(compute(image)),
        artifact_uri: None,
        path: "disk.qcow2".into(),
        bytes: 1,
        allocated_bytes: 1,
        digest: images::digest::Digest::Plain(String::new()),
        virtual_size: 1,
        data_disks: Vec::new(),
    };
    let outputs = [made("made", "images/made"), made("again", "images/MADE")];
    let owner = process.resource(run.template.as_str()).await;
    let writes = artifacts::writes(&process.app, &run.id, owner.as_ref(), &template, &outputs);
    let writes = writes.await.unwrap();
    process.app.store().commit(writes).await.unwrap();
    let image = process.resource(&compute("images/made")).await.unwrap();
    assert_eq!(image.body["tags"]["k"], "later");
    for name in ["made", "again"] {
        assert!(output(&process, "t", name).await.is_some(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_with_unwritable_outputs_fails() {
    let bench = Bench::new().await;
    let process = bench.process().await;
    // Every write of it conflicts with an existing row.
    bench
        .sql(
            "CREATE TRIGGER taken BEFORE INSERT ON resources \
             WHEN NEW.kind = 'microsoft.compute/images' BEGIN SELECT RAISE(IGNORE); END",
        )
        .await;
    process.work(None);
    let id = process.submit("t", managed("made")).await;
    let run = process.ended(&id).await;
    assert_eq!(run.state, RunState::Failed);
    assert!(run.message.starts_with("the service could not write down"), "{}", run.message);
    assert_eq!(status(&process, "t").await["runState"], "Failed");
    let operation = process.operation(&run).await;
    assert_eq!(operation.status, OperationStatus::Failed);
    assert_eq!(operation.error.unwrap()["code"], "InternalError");
    assert!(output(&process, "t", "made").await.is_none());
}

// conformance: 137
#[test]
fn run_interrupted_twice_fails() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::new());
    let id = cut_off(&bench);
    runtime.block_on(async {
        // As after a second time.
        let process = bench.process().await;
        let run = process.run(&id).await;
        let again = db::Run { epoch: run.epoch + 1, crashes: run.crashes + 1, ..run };
        process.app.store().commit(vec![db::Write::ClaimRun(again)]).await.unwrap();
        process.work(None);
        let run = process.ended(&id).await;
        assert_eq!(run.state, RunState::Failed);
        let text = "The service crashed or was killed while the run was active";
        assert!(run.message.starts_with(text), "{}", run.message);
        bench.assert_everything_is_released();
    });
}

#[test]
fn resumed_run_keeps_what_is_left_of_its_timeout() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::new());
    let id = cut_off(&bench);
    runtime.block_on(async {
        let before = bench.process().await;
        let (store, run) = (before.app.store(), before.run(&id).await);
        let owned = db::Run { owner: Some("gone".into()), ..run };
        store.commit(vec![db::Write::ReplaceRun(owned)]).await.unwrap();
        let ttl = std::time::Duration::from_secs(60);
        let place = |id: &str| db::Holder {
            id: id.into(),
            host: "h".into(),
            pid: 1,
            folder: "/f".into(),
            place: "p".into(),
        };
        store.take_lease(&place("gone"), ttl, None, Default::default()).await.unwrap();
        // Four hours are the default time-out.
        let all = std::time::Duration::from_secs(4 * 3600);
        assert!(store.renew_lease(ttl, all).await.unwrap());
        let process = bench.process().await;
        process.work(None);
        let run = process.ended(&id).await;
        assert_eq!(run.state, RunState::Failed);
        let operation = process.operation(&run).await;
        assert_eq!(operation.error.unwrap()["code"], "BuildTimeout", "{}", run.message);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn events_resume_where_a_reader_left() {
    use futures_util::StreamExt;
    let bench = Bench::new().await;
    let process = bench.process().await;
    process.work(None);
    let id = process.submit("t", managed("made")).await;
    let run = process.ended(&id).await;
    let all: Vec<_> = following::events(&process.app, &id, 0).collect().await;
    assert!(all.last().unwrap().1.contains("runEnded"), "{all:?}");
    let rest: Vec<_> = following::events(&process.app, &id, all[2].0).collect().await;
    assert_eq!(rest, all[3..]);
    let events_after = async |last| following::events_of(&process.app, &of(&run), &id, last).await;
    assert_eq!(events_after(None).await.unwrap().collect::<Vec<_>>().await, all);
    let refused = events_after(Some("x")).await.map(drop).unwrap_err();
    assert_eq!(refused.status, http::StatusCode::BAD_REQUEST);
    let other = Whose::Template(db::ResourceKey::of("/other"));
    let refused = following::log(&process.app, &other, &id, CUSTOMIZATION_LOG).await.unwrap_err();
    assert_eq!(refused.status, http::StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_ended_by_a_request_does_not_begin() {
    let bench = Bench::new().await;
    let process = bench.process().await;
    let id = process.submit("t", managed("made")).await;
    let seen = process.run(&id).await;
    let ended = db::Run { state: RunState::Canceled, ..seen.clone() };
    process.app.store().commit(vec![db::Write::ReplaceRun(ended)]).await.unwrap();
    let working = super::row::Change::Working("Building");
    let owned = super::row::Owned { is_taken: false, ..super::row::Owned::of(&seen) };
    let refused = super::row::write(&process.app, owned, working).await.unwrap_err();
    assert!(matches!(refused, db::Error::NotOwner), "{refused}");
    assert_eq!(process.run(&id).await.state, RunState::Canceled);
}
