//! Data disks from the template to the image and into the next build, on the scripted machine. The
//! disks are real, the guest is not.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use api::{
    ErrorCode,
    template::{Face, ParseOptions},
};
use engine::{
    build::{self, Freshness, Input, OnError, Plan, Report, Request},
    test_boot::{self, TestBoot},
};
use images::{
    error::{Error, Result},
    image_file::footer,
    store::{Labels, Origin, Payload, Store, StoredImage, address::Address},
};
use serde_json::{Value, json};
use vm::{
    MachineSpec,
    fake::{Call, Fake},
};

use crate::disks::{MIB, Setting, setting};

const GIB: u64 = 1 << 30;

pub(crate) fn id(name: &str) -> String {
    format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/{name}")
}

/// A store with a source image, and a scripted machine.
pub(crate) struct Forge {
    pub(crate) s: Setting,
    pub(crate) fake: Fake,
}

impl Forge {
    /// With one managed image, `base`, as the source.
    pub(crate) async fn new() -> Self {
        let (s, fake) = (setting().await, Fake::new());
        fake.on_call("generalize", |command, _| guests::linux::played(command));
        let forge = Self { s, fake };
        forge.store("base", 4 * MIB).await;
        forge
    }

    /// Stores an empty disk as a managed image.
    async fn store(&self, name: &str, bytes: u64) {
        let s = &self.s;
        let disk = s.path(&format!("{name}.qcow2"));
        vm::disk::create(&s.host, &disk, "qcow2", bytes).await.unwrap();
        let payload = Payload {
            digest: images::digest::digest(&fs::read(&disk).unwrap()),
            disk,
            virtual_size: bytes,
            data: Vec::new(),
            origin: Origin {
                os_type: "Linux".into(),
                architecture: "x64".into(),
                generation: "V2".into(),
                ..Origin::default()
            },
            labels: Labels::default(),
        };
        let target = Address::parse(&id(name)).unwrap();
        Store::open(&s.cx.layout).publish_managed(&s.cx, &target, payload).await.unwrap();
    }

    /// A plan from one image to another, with further data disks.
    async fn plan(&self, from: &str, to: &str, disks: &[u32]) -> Result<Plan, Vec<Error>> {
        let target = json!({
            "type": "ManagedImage", "runOutputName": "image", "location": "here",
            "imageId": id(to),
        });
        self.plan_to(from, &[target], disks).await
    }

    async fn plan_to(
        &self,
        from: &str,
        targets: &[Value],
        disks: &[u32],
    ) -> Result<Plan, Vec<Error>> {
        let disks: Vec<Value> = disks.iter().map(|gb| json!({ "sizeGB": gb })).collect();
        let text = json!({
            "location": "here", "identity": { "type": "None" },
            "properties": {
                "source": { "type": "ManagedImage", "imageId": id(from) },
                "customize": [{ "type": "Shell", "inline": ["echo one"] }],
                "additionalDataDisks": disks,
                "distribute": targets,
            },
        });
        let options = ParseOptions { api_version: None, face: Face::File };
        let parsed = engine::template::parse(&text.to_string(), &options);
        let template = parsed.template.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
        let base_dir = self.s.path("");
        let input = Input {
            name: "disks".into(),
            template,
            base_dir,
            metadata: None,
            fetch: sources::fetch::Limits::default(),
        };
        build::resolve(&self.s.cx, input).await
    }

    pub(crate) async fn build(&self, plan: &Plan, exports: &[&str]) -> Result<Report> {
        let export = |spec: &&str| {
            let (format, name) = spec.split_once('=').unwrap();
            format!("{format}={}", self.s.path(name).display()).parse().unwrap()
        };
        let request = Request {
            exports: exports.iter().map(export).collect(),
            freshness: Freshness::default(),
            on_error: OnError::AsTemplate,
            keep_for: Duration::ZERO,
            boot_timeout: Duration::from_secs(5),
            cache_bytes: u64::MAX,
            run_id: None,
        };
        build::build(&self.s.cx, &self.s.host, &self.fake, plan, &request).await
    }

    async fn made(&self, from: &str, to: &str, disks: &[u32]) -> Report {
        let plan = self.plan(from, to, disks).await.unwrap_or_else(|errors| panic!("{errors:?}"));
        self.build(&plan, &[]).await.unwrap()
    }

    fn stored(&self, name: &str) -> StoredImage {
        Store::open(&self.s.cx.layout).get(&id(name)).unwrap()
    }

    fn starts(&self) -> Vec<MachineSpec> {
        let spec = |call| match call {
            Call::Start(spec) => Some(spec),
            _ => None,
        };
        self.fake.calls().into_iter().filter_map(spec).collect()
    }
}

fn sizes(image: &StoredImage) -> Vec<u64> {
    image.record.data_disks.iter().map(|disk| disk.virtual_size / GIB).collect()
}

#[tokio::test]
async fn template_disks_are_on_the_machine_and_in_every_output() {
    let forge = Forge::new().await;
    let targets = [
        json!({
            "type": "ManagedImage", "runOutputName": "image", "location": "here",
            "imageId": id("made"),
        }),
        json!({ "type": "VHD", "runOutputName": "disk" }),
    ];
    let plan = forge.plan_to("base", &targets, &[2, 1]).await.unwrap();
    let report = forge.build(&plan, &["qcow2=out.qcow2"]).await.unwrap();
    let start = &forge.starts()[0];
    let names: Vec<_> = start.data.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["data0.qcow2", "data1.qcow2"]);
    let seals = forge.fake.calls().into_iter().filter_map(|call| match call {
        Call::Seal(seal) => Some(seal.next_data.len()),
        _ => None,
    });
    assert_eq!(seals.collect::<Vec<_>>(), [2, 2], "first boot and customizer");

    let image = forge.stored("made");
    assert_eq!(sizes(&image), [2, 1]);
    let stores = forge.s.cx.layout.images();
    for (lun, disk) in image.data().iter().enumerate() {
        assert!(disk.disk.starts_with(&stores) && disk.disk.is_file());
        let info = vm::disk::info(&forge.s.host, &disk.disk, Some("qcow2")).await.unwrap();
        assert_eq!((info.virtual_size, info.backing), (disk.virtual_size, None));
        assert!(info.actual_size < MIB, "never written, and takes {}", info.actual_size);
        let output = &report.outputs[0].data_disks[lun];
        assert_eq!(
            (output.lun, &output.path, output.digest.hex()),
            (lun, &disk.disk, &*disk.sha256)
        );
    }
    let vhd = &report.outputs[1];
    let stem = vhd.path.to_str().unwrap().strip_suffix(".vhd").unwrap();
    for (lun, disk) in vhd.data_disks.iter().enumerate() {
        assert_eq!(disk.path.to_str().unwrap(), format!("{stem}_dataDisk_{lun}.vhd"));
        footer::verify(&disk.path, disk.virtual_size).unwrap();
    }
    assert_eq!(vhd.data_disks.len(), 2);
    let exported: Vec<_> = report.exports.iter().map(|export| (export.lun, &export.path)).collect();
    let at = |name: &str| forge.s.path(name);
    let expected = [
        (None, &at("out.qcow2")),
        (Some(0), &at("out_dataDisk_0.qcow2")),
        (Some(1), &at("out_dataDisk_1.qcow2")),
    ];
    assert_eq!(exported, expected);
    // The same from the store, later.
    let again = format!("qcow2={}", at("again.qcow2").display()).parse().unwrap();
    let written =
        images::export::of_stored(&forge.s.cx, &forge.s.host, &image, &[again]).await.unwrap();
    assert_eq!(written.len(), 3);
    assert!(at("again_dataDisk_1.qcow2").is_file());

    // Without a change no machine starts. A disk of another size makes another machine.
    forge.made("base", "made", &[2, 1]).await;
    assert_eq!(forge.starts().len(), 1);
    forge.made("base", "made", &[2, 2]).await;
    assert_eq!(forge.starts().len(), 2);
    assert_eq!(sizes(&forge.stored("made")), [2, 2]);
}

#[tokio::test]
async fn source_disks_come_before_the_template_disks() {
    let forge = Forge::new().await;
    forge.made("base", "parent", &[2]).await;
    let brought = forge.stored("parent").data()[0].sha256.clone();
    forge.made("parent", "child", &[1]).await;
    assert_eq!(sizes(&forge.stored("child")), [2, 1]);
    let below = forge.s.cx.layout.sources().join(brought).join("disk.qcow2");
    assert!(below.is_file(), "the overlay of LUN 0 is upon {}", below.display());
    // A template without data disks of its own keeps those of the source.
    forge.made("child", "grandchild", &[]).await;
    assert_eq!(sizes(&forge.stored("grandchild")), [2, 1]);
    // A snapshot of the same disks in the same order would be the same image.
    assert_eq!(forge.starts().len(), 3);
}

#[tokio::test]
async fn trial_uses_overlays_on_the_image_disks() {
    let forge = Forge::new().await;
    forge.made("base", "made", &[1]).await;
    let image = forge.stored("made");
    let test_boot = TestBoot {
        os: vm::OsType::Linux,
        disk: image.disk(),
        format: "qcow2".into(),
        virtual_size: image.record.virtual_size,
        data: image.data().into_iter().map(|disk| (disk.disk, disk.virtual_size)).collect(),
        uefi: true,
        vcpus: 1,
        memory_mib: 512,
        publish: Vec::new(),
    };
    let cx = &forge.s.cx;
    let running = |_: &[(u16, u16)], _: &Path| cx.cancel.cancel();
    test_boot::run(cx, &forge.s.host, &forge.fake, &test_boot, running).await.unwrap();
    let started = forge.starts().pop().unwrap();
    assert_eq!(started.data, [started.run_dir.join("data0.qcow2")]);
    assert!(!started.data[0].exists(), "it went with the machine");
}

#[tokio::test]
async fn changed_data_disk_in_the_store_is_rejected_as_source() {
    let forge = Forge::new().await;
    forge.made("base", "made", &[1]).await;
    let disk = forge.stored("made").data()[0].disk.clone();
    let mut bytes = fs::read(&disk).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::remove_file(&disk).unwrap();
    fs::write(&disk, bytes).unwrap();
    fs::set_permissions(&disk, fs::Permissions::from_mode(0o444)).unwrap();
    let errors = forge.plan("made", "child", &[]).await.unwrap_err();
    assert_eq!(errors[0].code, ErrorCode::BadManagedImageSource);
    assert!(errors[0].message.starts_with("the data disk with LUN 0 of "), "{}", errors[0]);
}

#[tokio::test]
async fn oversized_disks_are_reported_before_the_build() {
    let forge = Forge::new().await;
    forge.made("base", "many", &[1; 3]).await;
    let before = forge.starts().len();
    let errors = forge.plan("many", "more", &[1; 62]).await.unwrap_err();
    assert_eq!(errors[0].target.as_deref(), Some("properties.additionalDataDisks"));
    assert!(errors[0].message.starts_with("65 data disks, with the 3 of the source"), "{errors:?}");
    let vhd = json!({ "type": "VHD", "runOutputName": "disk" });
    let errors = forge.plan_to("base", &[vhd], &[1, 2041]).await.unwrap_err();
    assert_eq!(errors[0].target.as_deref(), Some("properties.additionalDataDisks[1].sizeGB"));
    // A file is in the way of a data disk's export.
    fs::write(forge.s.path("out_dataDisk_0.vhd"), "").unwrap();
    let plan = forge.plan("base", "made", &[1]).await.unwrap();
    let error = forge.build(&plan, &["vhd=out.vhd"]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.message.contains("out_dataDisk_0.vhd"), "{error}");
    assert_eq!(forge.starts().len(), before);
}

#[tokio::test]
async fn export_of_oversized_stored_disk_does_not_begin() {
    let forge = Forge::new().await;
    forge.store("huge", 2041 * GIB).await;
    let spec = format!("vhd={}", forge.s.path("huge.vhd").display()).parse().unwrap();
    let image = forge.stored("huge");
    let exported = images::export::of_stored(&forge.s.cx, &forge.s.host, &image, &[spec]).await;
    let error = exported.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
    assert!(error.message.contains("a VHD holds at most"), "{error}");
    assert!(forge.s.unfinished().is_empty());
}
