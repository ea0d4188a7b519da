//! `vmProfile`, `additionalDataDisks` and `buildTimeoutInMinutes`, from the request to the end of the run,
//! on a fake machine.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use images::{
    event::Events,
    run_context::RunContext,
    store::{Labels, Origin, Payload, Store, address::Address},
};
use runs::{
    following,
    worker::{Limits, Local, start},
};
use serde_json::json;
use tokio::sync::Notify;
use vm::{
    Host,
    fake::{Fake, Reaction, Then},
};

use super::*;

const GROUP: &str = "/subscriptions/5d4e1c4a-7b3c-4b57-9f65-1d8f2a6b3c4d/resourceGroups/rg";
const IDENTITY: &str = "providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder";
const GIB: u64 = 1 << 30;

struct Forge {
    place: Bench,
    token: String,
}

impl Forge {
    /// A group, an identity, and a managed image of 3 GiB as source.
    async fn new() -> Self {
        let place = Bench::new().await;
        let token = place.token(ARM).await;
        let forge = Self { place, token };
        let here = json!({ "location": "westus2" });
        forge.put(GROUP, "2022-12-01", &here).await;
        let made = forge.put(&format!("{GROUP}/{IDENTITY}"), "2023-01-31", &here).await;
        let principal = made.1["properties"]["principalId"].as_str().unwrap();
        for role in [roles::CONTRIBUTOR, roles::BLOB_READER] {
            let row = roles::assignment(GROUP, principal, roles::SERVICE_PRINCIPAL, role);
            forge.place.store.commit(vec![db::Write::InsertAssignment(row)]).await.unwrap();
        }
        forge.store_image().await;
        forge
    }

    async fn store_image(&self) {
        let layout = self.place.app.settings().layout.clone();
        let disk = self.place.app.settings().dir.join("base.qcow2");
        let host = Host::probe(None).await.expect("QEMU is installed (make setup)");
        vm::disk::create(&host, &disk, "qcow2", 3 * GIB).await.unwrap();
        let payload = Payload {
            digest: images::digest::digest(&std::fs::read(&disk).unwrap()),
            disk,
            virtual_size: 3 * GIB,
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
        let target = Address::parse(&image("base")).unwrap();
        Store::open(&layout).publish_managed(&cx, &target, payload).await.unwrap();
    }

    async fn put(&self, path: &str, version: &str, body: &Value) -> (StatusCode, Value) {
        self.send("PUT", path, version, body).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        version: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let path = format!("{path}?api-version={version}");
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost:1");
        request = request
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = self.place.router.clone().oneshot(request).await.unwrap();
        (response.status(), value(response).await)
    }

    async fn get(&self, path: &str) -> Value {
        let path = format!("{path}?api-version=2025-10-01");
        value(self.place.send("GET", &path, &self.token, "").await).await
    }

    /// Creates a template with these properties beside the usual ones, and returns the answer to PUT.
    async fn template(&self, name: &str, more: Value) -> (StatusCode, Value) {
        let mut body = json!({
            "location": "westus2",
            "identity": {
                "type": "UserAssigned",
                "userAssignedIdentities": { format!("{GROUP}/{IDENTITY}"): {} },
            },
            "properties": {
                "source": { "type": "ManagedImage", "imageId": image("base") },
                "customize": [{ "type": "Shell", "inline": ["sleep 600"] }],
                "distribute": [{
                    "type": "ManagedImage", "runOutputName": "out", "location": "westus2",
                    "imageId": image("made"),
                }],
            },
        });
        for (field, value) in more.as_object().unwrap() {
            body["properties"][field] = value.clone();
        }
        self.put(&template(name), "2025-10-01", &body).await
    }

    /// The same after the end of provisioning.
    async fn settled(&self, name: &str, more: Value) -> Value {
        let (status, answer) = self.template(name, more).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        self.place.app.tasks().close();
        self.place.app.tasks().wait().await;
        self.get(&template(name)).await["properties"].clone()
    }

    /// Starts the worker.
    async fn work(&self, fake: Fake) {
        let host = Host::probe(None).await.unwrap();
        let (boot_timeout, cache_bytes) = (Duration::from_secs(5), u64::MAX);
        let limits = Limits {
            boot_timeout,
            cache_bytes,
            capacity: None,
            keep_for: Duration::ZERO,
            log_bytes: images::log::DEFAULT_BYTES,
        };
        let app = &self.place.app;
        start(app.clone(), Arc::new(Local::new(app, host, Arc::new(fake), limits)));
    }

    async fn run(&self, name: &str) {
        let run = format!("{}/run?api-version=2025-10-01", template(name));
        let accepted = self.place.send("POST", &run, &self.token, "").await;
        assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    }

    async fn status(&self, name: &str) -> Value {
        self.get(&template(name)).await["properties"]["lastRunStatus"].clone()
    }

    /// Asserts that PUT rejects the properties, with that field as the target.
    async fn refused(&self, more: Value, target: &str, text: &str) {
        let (status, answer) = self.template("bad", more.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{more}: {answer}");
        let error = &answer["error"];
        assert_eq!(
            (error["code"].as_str(), error["target"].as_str()),
            (Some("ValidationFailed"), Some(target)),
            "{answer}"
        );
        assert!(error["message"].as_str().unwrap().contains(text), "{answer}");
    }

    /// Asserts that provisioning fails with these messages.
    async fn failed(&self, name: &str, more: Value, texts: &[&str]) {
        let properties = self.settled(name, more).await;
        assert_eq!(properties["provisioningState"], "Failed", "{properties}");
        let message = properties["provisioningError"]["message"].as_str().unwrap();
        for text in texts {
            assert!(message.contains(text), "{text} in {message}");
        }
    }
}

fn image(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Compute/images/{name}")
}

fn template(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}")
}

// conformance: 32
#[tokio::test]
async fn build_timeout_is_at_most_16_hours() {
    let forge = Forge::new().await;
    for minutes in [961, -1] {
        let more = json!({ "buildTimeoutInMinutes": minutes });
        forge.refused(more, "properties.buildTimeoutInMinutes", "between 0 and 960").await;
    }
    for minutes in [0, 960] {
        let more = json!({ "buildTimeoutInMinutes": minutes });
        let shown = forge.settled(&format!("t{minutes}"), more).await;
        assert_eq!(shown["buildTimeoutInMinutes"], minutes, "{shown}");
        assert_eq!(shown["provisioningState"], "Succeeded", "{shown}");
    }
}

// conformance: 33
#[tokio::test]
async fn os_disk_is_at_least_as_large_as_its_source() {
    let forge = Forge::new().await;
    let disk = |gb: i64| json!({ "vmProfile": { "osDiskSizeGB": gb } });
    forge.refused(disk(-1), "properties.vmProfile.osDiskSizeGB", "at least 0").await;
    let texts = [
        "osDiskSizeGB is 2 but the source image needs 3",
        "properties.vmProfile.osDiskSizeGB",
        "can only grow",
    ];
    forge.failed("small", disk(2), &texts).await;
    for gb in [0, 3, 30] {
        let shown = forge.settled(&format!("t{gb}"), disk(gb)).await;
        assert_eq!(shown["provisioningState"], "Succeeded", "{shown}");
        assert_eq!(shown["vmProfile"]["osDiskSizeGB"], gb, "{shown}");
    }
    forge.failed("huge", disk(4096), &["at most 4095"]).await;
    // An update has the same limits.
    let change = json!({ "properties": disk(2) });
    let (status, answer) = forge.send("PATCH", &template("t30"), "2025-10-01", &change).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert_eq!(answer["error"]["target"], "properties.vmProfile.osDiskSizeGB", "{answer}");
}

// conformance: 34
#[tokio::test]
async fn vm_profile_is_returned_as_sent() {
    let forge = Forge::new().await;
    let without = forge.settled("without", json!({})).await;
    assert!(without.get("vmProfile").is_none(), "{without}");
    let with = forge.settled("with", json!({ "vmProfile": {} })).await;
    assert_eq!(with["vmProfile"], json!({ "vmSize": "", "osDiskSizeGB": 0 }));
}

// conformance: 35
#[tokio::test]
async fn proxy_and_build_subnet_exclude_each_other() {
    let forge = Forge::new().await;
    let subnet = |name: &str| {
        format!("{GROUP}/providers/Microsoft.Network/virtualNetworks/net/subnets/{name}")
    };
    let vnet = |config: Value| json!({ "vmProfile": { "vnetConfig": config } });
    let both = vnet(json!({
        "subnetId": subnet("a"), "containerInstanceSubnetId": subnet("b"),
        "proxyVmSize": "Standard_A1_v2",
    }));
    let field = "properties.vmProfile.vnetConfig";
    forge.refused(both, &format!("{field}.proxyVmSize"), "exclude each other").await;
    let alone = vnet(json!({ "containerInstanceSubnetId": subnet("b") }));
    let target = format!("{field}.containerInstanceSubnetId");
    forge.refused(alone, &target, "requires 'subnetId'").await;
}

#[tokio::test]
async fn vm_size_must_exist_and_match_the_architecture() {
    let forge = Forge::new().await;
    let size = |name: &str| json!({ "vmProfile": { "vmSize": name } });
    let texts = ["Standard_D2s_v33", "properties.vmProfile.vmSize", "Standard_D2s_v3,"];
    forge.failed("unknown", size("Standard_D2s_v33"), &texts).await;
    let texts = ["has an Arm64 processor and the source image is for x64", "Standard_D2s_v5"];
    forge.failed("arm", size("Standard_D2ps_v5"), &texts).await;
    let shown = forge.settled("fine", size("standard_d2s_v5")).await;
    assert_eq!(shown["provisioningState"], "Succeeded", "{shown}");
}

#[tokio::test]
async fn data_disks_have_a_size_and_a_count_limit() {
    let forge = Forge::new().await;
    let disks = |gb: &[i64]| {
        let disks: Vec<_> = gb.iter().map(|gb| json!({ "sizeGB": gb })).collect();
        json!({ "additionalDataDisks": disks })
    };
    let field = "properties.additionalDataDisks";
    for gb in [0, -1, 32_768] {
        forge.refused(disks(&[4, gb]), &format!("{field}[1].sizeGB"), "between 1 and 32767").await;
    }
    forge.refused(disks(&[1; 65]), &format!("{field}[64]"), "at most 64").await;
    let mut large = disks(&[1, 2041]);
    large["distribute"] = json!([{ "type": "VHD", "runOutputName": "disk" }]);
    let texts = ["2041 GB, and a VHD holds at most 2040", "additionalDataDisks[1].sizeGB"];
    forge.failed("large", large, &texts).await;
    let mut large = json!({ "vmProfile": { "osDiskSizeGB": 2041 } });
    large["distribute"] = json!([{ "type": "VHD", "runOutputName": "disk" }]);
    let texts = ["2041 GB, and a VHD holds at most 2040", "properties.vmProfile.osDiskSizeGB"];
    forge.failed("large-os", large, &texts).await;
    let shown = forge.settled("fine", disks(&[1, 32_767])).await;
    assert_eq!(shown["provisioningState"], "Succeeded", "{shown}");
    assert_eq!(shown["additionalDataDisks"], json!([{ "sizeGB": 1 }, { "sizeGB": 32_767 }]));
}

/// A guest on which every script succeeds.
fn willing() -> Fake {
    let fake = Fake::new();
    fake.on_call("generalize", |command, _| guests::linux::played(command));
    fake
}

/// A guest whose first script hangs, with a signal when it does.
fn hanging() -> (Fake, Arc<Notify>) {
    let (fake, reached) = (willing(), Arc::new(Notify::new()));
    let tell = reached.clone();
    fake.on_call("mktemp", move |_, _| {
        tell.notify_one();
        Reaction::then(Then::Hang)
    });
    (fake, reached)
}

#[tokio::test]
async fn events_are_streamed_and_log_is_text() {
    let forge = Forge::new().await;
    forge.work(willing()).await;
    forge.settled("t", json!({})).await;
    forge.run("t").await;
    until(async || forge.status("t").await["runState"] != "Running").await;
    let app = &forge.place.app;
    let key = db::ResourceKey::of(&template("t"));
    let id = app.store().runs_of(&key, 1).await.unwrap().remove(0).id;
    let get = async |what: &str| {
        let path = format!("{}/runs/{id}/{what}", template("t"));
        let response = forge.place.send("GET", &path, &forge.token, "").await;
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let (status, body) = (response.status(), response.into_body());
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        (status, kind, String::from_utf8_lossy(&bytes).into_owned())
    };
    let all = following::events(app, &id, 0).collect::<Vec<_>>().await;
    let (status, kind, text) = get("events").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/event-stream"));
    assert_eq!(text.matches("\ndata: ").count() + text.matches("\ndata:{").count(), all.len());
    assert_eq!(get("events?after=x").await.0, StatusCode::BAD_REQUEST);
    let (status, kind, text) = get("log").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/plain; charset=utf-8"));
    assert!(text.contains(&format!("[{id}] PACKER OUT")), "{text}");
}

#[tokio::test]
async fn image_and_version_of_a_run_have_its_data_disks() {
    let forge = Forge::new().await;
    forge.work(willing()).await;
    let gallery = format!("{GROUP}/providers/Microsoft.Compute/galleries/g");
    let definition = format!("{gallery}/images/d");
    let identifier = json!({ "publisher": "p", "offer": "o", "sku": "s" });
    let properties = json!({
        "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
        "identifier": identifier,
    });
    for (path, properties) in [(&gallery, json!({})), (&definition, properties)] {
        let body = json!({ "location": "westus2", "properties": properties });
        let (status, answer) = forge.put(path, "2024-03-03", &body).await;
        assert!(status.is_success(), "{answer}");
    }
    let targets = json!([
        { "type": "ManagedImage", "runOutputName": "out", "location": "westus2",
            "imageId": image("made") },
        { "type": "SharedImage", "runOutputName": "shared", "galleryImageId": definition,
            "targetRegions": [{ "name": "westus2" }] },
    ]);
    let disks = json!([{ "sizeGB": 2 }, { "sizeGB": 1 }]);
    forge.settled("t", json!({ "additionalDataDisks": disks, "distribute": targets })).await;
    forge.run("t").await;
    until(async || forge.status("t").await["runState"] != "Running").await;
    let ended = forge.status("t").await;
    assert_eq!(ended["runState"], "Succeeded", "{ended}");

    let get = async |path: &str, version: &str| {
        let path = format!("{path}?api-version={version}");
        let answer = value(forge.place.send("GET", &path, &forge.token, "").await).await;
        answer["properties"]["storageProfile"].clone()
    };
    let disks = |list: &Value, size: &str| -> Vec<(Option<u64>, Option<u64>)> {
        let disks = list.as_array().expect("a list").iter();
        disks.map(|disk| (disk["lun"].as_u64(), disk[size].as_u64())).collect()
    };
    let expected = [(Some(0), Some(2)), (Some(1), Some(1))];
    let storage = get(&image("made"), "2024-07-01").await;
    assert_eq!(disks(&storage["dataDisks"], "diskSizeGB"), expected, "{storage}");
    let storage = get(&format!("{definition}/versions/0.0.1"), "2024-03-03").await;
    assert_eq!(disks(&storage["dataDiskImages"], "sizeInGB"), expected, "{storage}");

    // Images that are built from it have them too.
    let source = json!({ "type": "ManagedImage", "imageId": image("made") });
    let more = vec![json!({ "sizeGB": 1 }); 63];
    let many = json!({ "source": source, "additionalDataDisks": more });
    forge.failed("many", many, &["65 data disks, with the 2 of the source image"]).await;
}

// conformance: 99
#[tokio::test]
async fn timed_out_run_fails_with_azures_message() {
    let forge = Forge::new().await;
    let (fake, reached) = hanging();
    forge.work(fake).await;
    forge.settled("slow", json!({ "buildTimeoutInMinutes": 7 })).await;
    forge.run("slow").await;
    reached.notified().await;
    let status = async || forge.status("slow").await;
    until(async || status().await["runSubState"] == "Customizing").await;
    // The template's timeout of seven minutes passes.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(7 * 60 + 1)).await;
    tokio::time::resume();
    until(async || status().await["runState"] != "Running").await;
    let ended = status().await;
    assert_eq!(ended["runState"], "Failed", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "Failed while waiting for packerizer: Timeout waiting for microservice to complete: 'context deadline exceeded'"
        ),
        "{message}"
    );
    assert!(message.contains("buildTimeoutInMinutes"), "{message}");
}

/// Polls until the condition is true.
async fn until(is_it: impl AsyncFn() -> bool) {
    let asking = async {
        while !is_it().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking)
        .await
        .expect("the condition becomes true");
}
