//! Distributors with the real qemu-img and the real image store.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt},
};

use api::{
    ErrorCode,
    template::{Face, ParseOptions},
};
use engine::{
    build::{self, Input},
    distribute::{self, DeliveryContext, Targets},
    janitor,
    template::{self, Target},
};
use images::{
    error::Error,
    event::RunOutput,
    files::partial::partial_path,
    image_file::{
        artifact::{Standalone, standalone},
        footer,
    },
    ledger::{self, Ledger, Releasable},
    store::{Origin, Store, address::Address, sweep},
};

use serde_json::{Value, json};
use vm::fake::Fake;

use crate::{
    data_disks::{Forge, id},
    disks::{Chain, MIB, Setting, allocated, files, setting},
};

const GROUP: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute";

/// A distributor of that type with more settings.
fn distributor(index: usize, name: &str, mut settings: Value) -> Target {
    settings["runOutputName"] = json!(name);
    settings["artifactTags"] = json!({ "team": "web" });
    let text = json!({ "properties": {
        "source": { "type": "ManagedImage", "imageId": id("base") }, "distribute": [settings],
    } });
    let options = ParseOptions { api_version: None, face: Face::File };
    let parsed = template::parse(&text.to_string(), &options);
    let mut template = parsed.template.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
    let target = template.properties.distribute.remove(0);
    Target { path: format!("properties.distribute[{index}]"), ..target }
}

fn managed(id: &str) -> Value {
    json!({ "type": "ManagedImage", "imageId": format!("{GROUP}/{id}"), "location": "westeurope" })
}

fn shared(id: &str, scheme: &str) -> Value {
    json!({
        "type": "SharedImage", "galleryImageId": format!("{GROUP}/galleries/{id}"),
        "versioning": { "scheme": scheme },
    })
}

const LATEST: &str = "Latest";

fn vhd() -> Value {
    json!({ "type": "VHD" })
}

fn facts(run_id: &str) -> DeliveryContext {
    DeliveryContext {
        run_id: run_id.into(),
        started: "2025-03-01T10:20:30Z".parse().unwrap(),
        origin: Origin {
            template: Some("web".into()),
            run_id: Some(run_id.into()),
            ..Origin::default()
        },
    }
}

async fn prepared(size: u64) -> (Setting, Chain, Standalone) {
    let s = setting().await;
    let chain = s.chain(size, 3 * MIB).await;
    let image = standalone(&s.cx, &s.host, &chain.top, &chain.key).await.unwrap();
    (s, chain, image)
}

async fn publish(
    s: &Setting,
    image: &Standalone,
    run_id: &str,
    distributors: &[Target],
) -> Result<Vec<RunOutput>, Error> {
    let targets = distribute::check(&s.cx, distributors, Some("12.11"), "")?;
    publish_to(s, image, run_id, &targets).await
}

/// With a run's ledger, which must be empty after a success.
async fn publish_to(
    s: &Setting,
    image: &Standalone,
    run_id: &str,
    targets: &Targets,
) -> Result<Vec<RunOutput>, Error> {
    let ledger = Ledger::open(&s.cx.layout, run_id).unwrap();
    let facts = facts(run_id);
    let outputs = distribute::publish(&s.cx, &s.host, image, &facts, targets, &ledger).await;
    assert!(outputs.is_err() || ledger.rows().unwrap().read.is_empty());
    ledger.close().unwrap();
    outputs
}

fn all() -> [Target; 4] {
    [
        distributor(0, "image", managed("images/web")),
        distributor(1, "auto", shared("gal/images/def", LATEST)),
        distributor(2, "source", shared("gal/images/other", "Source")),
        distributor(3, "disk", vhd()),
    ]
}

#[tokio::test]
async fn every_kind_is_published_from_one_conversion() {
    let (s, chain, image) = prepared(64 * MIB).await;
    let outputs = publish(&s, &image, "0195-aaaa-1234abcd", &all()).await.unwrap();
    let ids: Vec<_> = outputs.iter().map(|output| output.artifact_id.as_deref()).collect();
    assert_eq!(
        ids,
        [
            Some(&*format!("{GROUP}/images/web")),
            Some(&*format!("{GROUP}/galleries/gal/images/def/versions/0.0.1")),
            Some(&*format!("{GROUP}/galleries/gal/images/other/versions/12.11.0")),
            None,
        ]
    );
    let inode = fs::metadata(&image.disk).unwrap().ino();
    for output in &outputs[..3] {
        s.assert_same(&chain, &output.path, "qcow2").await;
        assert_eq!(fs::metadata(&output.path).unwrap().ino(), inode, "stored without a copy");
        assert_eq!(output.digest.hex(), image.sha256);
        let info = s.qemu_img(&["info", "-f", "qcow2"], &[&output.path]).await;
        assert!(!info.contains("backing file"), "{info}");
        s.qemu_img(&["check", "-q", "-f", "qcow2"], &[&output.path]).await;
    }
    let disk = &outputs[3];
    assert!(disk.path.ends_with("data/blobs/vhds/disk_20250301102030_1234abcd.vhd"), "{disk:?}");
    assert_eq!(disk.artifact_uri, Some(format!("file://{}", disk.path.display())));
    s.assert_same(&chain, &disk.path, "vpc").await;
    footer::verify(&disk.path, 64 * MIB).unwrap();
    assert_eq!(disk.bytes, 64 * MIB + 512);
    assert!(allocated(&disk.path) < 6 * MIB, "holes stay holes");
    let beside = fs::read_to_string(format!("{}.json", disk.path.display())).unwrap();
    assert!(beside.contains(disk.digest.hex()) && beside.contains("\"team\": \"web\""), "{beside}");
    assert!(s.unfinished().is_empty(), "{:?}", s.unfinished());
}

#[tokio::test]
async fn publish_repeated_for_the_same_run_changes_nothing() {
    let (s, _chain, image) = prepared(16 * MIB).await;
    let first = publish(&s, &image, "run-1", &all()[..2]).await.unwrap();
    assert_eq!(publish(&s, &image, "run-1", &all()[..2]).await.unwrap(), first);
    let disk = publish(&s, &image, "run-1", &all()[3..]).await.unwrap();
    assert_eq!(publish(&s, &image, "run-1", &all()[3..]).await.unwrap(), disk);

    let next = publish(&s, &image, "run-2", &all()[..2]).await.unwrap();
    assert!(next[1].artifact_id.as_ref().unwrap().ends_with("/versions/0.0.2"));
    let other = publish(&s, &image, "run-2", &all()[3..]).await.unwrap();
    assert_ne!(other[0].path, disk[0].path, "each run has its VHD");
    let store = Store::open(&s.cx.layout);
    let record = store.get("web").unwrap().record;
    assert_eq!(record.origin.run_id.as_deref(), Some("run-2"));
    assert_eq!(record.labels.tags["team"], "web");
    assert_eq!(store.list().unwrap().len(), 3);
}

#[tokio::test]
async fn changed_vhd_in_the_blob_folder_is_replaced() {
    let (s, chain, image) = prepared(16 * MIB).await;
    let disk = publish(&s, &image, "run-1", &all()[3..]).await.unwrap().remove(0);
    fs::remove_file(&disk.path).unwrap();
    fs::write(&disk.path, "torn").unwrap();
    assert_eq!(publish(&s, &image, "run-1", &all()[3..]).await.unwrap()[0].digest, disk.digest);
    s.assert_same(&chain, &disk.path, "vpc").await;
}

#[tokio::test]
async fn invalid_targets_are_reported_before_the_build() {
    let (s, _chain, image) = prepared(16 * MIB).await;
    let exact = distributor(0, "one", shared("gal/images/def/versions/1.0.0", LATEST));
    publish(&s, &image, "run-1", std::slice::from_ref(&exact)).await.unwrap();

    let uri = Some("https://acc.blob.core.windows.net/vhds/x.vhd".to_owned());
    let bad = [
        exact,
        distributor(1, "two", json!({ "type": "VHD", "uri": uri })),
        distributor(2, "three", managed("images/web")),
        distributor(3, "four", managed("images/..")),
    ];
    let error = distribute::check(&s.cx, &bad, None, "").unwrap_err();
    assert_eq!(error.code, ErrorCode::VersionConflict);
    assert_eq!(error.target.as_deref(), Some("properties.distribute[0].galleryImageId"));
    let also: Vec<_> = error.details.iter().filter(|line| line.starts_with("also:")).collect();
    assert_eq!(also.len(), 2, "{:?}", error.details);
    assert!(also.iter().any(|line| line.contains("images/..")), "{also:?}");
    assert!(also.iter().any(|line| line.contains("storage account 'acc'")), "{also:?}");

    for version in [None, Some("rolling")] {
        let targets = [distributor(0, "x", shared("gal/images/def", "Source"))];
        let error = distribute::check(&s.cx, &targets, version, "").unwrap_err();
        assert_eq!(error.code, ErrorCode::BadSharedImageDistribute);
        assert_eq!(error.target.as_deref(), Some("properties.distribute[0].versioning.scheme"));
    }
}

/// A managed image's name is not a version, though it may look like one.
#[tokio::test]
async fn version_of_managed_image_source_is_rejected_at_resolve() {
    let forge = Forge::new().await;
    let resolve = async |target: &str, scheme: &str| {
        let text = json!({
            "location": "here", "identity": { "type": "None" },
            "properties": {
                "source": { "type": "ManagedImage", "imageId": id("base") },
                "distribute": [{
                    "type": "SharedImage", "runOutputName": "v",
                    "galleryImageId": format!("{GROUP}/galleries/g/images/{target}"),
                    "versioning": { "scheme": scheme },
                }],
            },
        });
        let options = ParseOptions { api_version: None, face: Face::File };
        let template = template::parse(&text.to_string(), &options).template.unwrap();
        let base_dir = forge.s.path("");
        let input = Input {
            name: "v".into(),
            template,
            base_dir,
            metadata: None,
            fetch: sources::fetch::Limits::default(),
        };
        build::resolve(&forge.s.cx, input).await
    };
    let errors = resolve("web", "Source").await.unwrap_err();
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!(error.code, ErrorCode::BadSharedImageDistribute);
    assert_eq!(error.target.as_deref(), Some("properties.distribute[0].versioning.scheme"));
    assert!(error.message.contains("needs a source that has a version"), "{error}");
    resolve("web", "Latest").await.unwrap();
}

/// A VHD for the folder of the storage account `images`.
fn to_folder(s: &Setting) -> Target {
    fs::create_dir_all(s.cx.layout.data()).unwrap();
    let account = "[[account]]\nname = \"images\"\nplace = \"account\"\n";
    fs::write(s.cx.layout.config(), account).unwrap();
    let uri = Some("https://images.blob.core.windows.net/vhds/web.vhd".to_owned());
    distributor(0, "disk", json!({ "type": "VHD", "uri": uri }))
}

#[tokio::test]
async fn vhd_in_an_account_folder_is_complete_and_described() {
    let (s, chain, image) = prepared(16 * MIB).await;
    let target = [to_folder(&s)];
    for run in ["run-1", "run-1", "run-2"] {
        let disk = publish(&s, &image, run, &target).await.unwrap().remove(0);
        assert!(disk.path.ends_with("account/vhds/web.vhd"), "{disk:?}");
        s.assert_same(&chain, &disk.path, "vpc").await;
        let beside = fs::read_to_string(format!("{}.json", disk.path.display())).unwrap();
        assert!(beside.contains(run) && beside.contains("\"team\": \"web\""), "{beside}");
    }
    assert!(s.unfinished().is_empty(), "{:?}", s.unfinished());
}

#[tokio::test]
async fn unfinished_file_in_an_account_folder_is_in_the_ledger() {
    let (s, _chain, image) = prepared(16 * MIB).await;
    let target = [to_folder(&s)];
    // The blob cannot get its name, so its file stays, as after a kill.
    let path = s.cx.layout.config().with_file_name("account/vhds/web.vhd");
    fs::create_dir_all(&path).unwrap();
    publish(&s, &image, "run-1", &target).await.unwrap_err();
    let left = partial_path(&path, "run-1");
    assert!(left.exists());
    let rows = ledger::rows_of(&s.cx.layout, "run-1").unwrap();
    assert!(rows.iter().any(|row| row.held == Releasable::PartialFile { path: left.clone() }));
    let problems = janitor::release_due(&s.cx.layout, &Fake::new()).await.unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    assert!(s.unfinished().is_empty(), "{:?}", s.unfinished());
    assert!(ledger::runs(&s.cx.layout).unwrap().is_empty());
}

// conformance: 88
#[tokio::test]
async fn own_version_does_not_conflict_with_the_run() {
    let (s, _chain, image) = prepared(16 * MIB).await;
    let exact = [distributor(0, "one", shared("gal/images/def/versions/1.0.0", LATEST))];
    let first = publish(&s, &image, "run-1", &exact).await.unwrap();
    let again = distribute::check(&s.cx, &exact, None, "run-1").unwrap();
    let outputs = publish_to(&s, &image, "run-1", &again).await;
    assert_eq!(outputs.unwrap(), first);
    let error = distribute::check(&s.cx, &exact, None, "run-2").unwrap_err();
    assert_eq!(error.code, ErrorCode::VersionConflict);
}

#[tokio::test]
async fn reserved_number_is_not_assigned() {
    let (s, _chain, image) = prepared(16 * MIB).await;
    let store = Store::open(&s.cx.layout);
    let definition = Address::parse(&format!("{GROUP}/galleries/gal/images/def")).unwrap();
    let version = |text: &str| text.parse().unwrap();
    store.reserve(&definition, &[version("1.0.0"), version("1.0.7")]).unwrap();
    let auto = [distributor(0, "one", shared("gal/images/def", LATEST))];
    let made = publish(&s, &image, "run-1", &auto).await.unwrap();
    assert!(made[0].artifact_id.as_ref().unwrap().ends_with("/versions/1.0.8"));
    let exact = [distributor(0, "one", shared("gal/images/def/versions/1.0.7", LATEST))];
    let error = publish(&s, &image, "run-2", &exact).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::VersionConflict);
    store.release(&definition, version("1.0.7")).unwrap();
    publish(&s, &image, "run-2", &exact).await.unwrap();
}

#[tokio::test]
async fn failed_target_does_not_stop_the_others() {
    let (s, _chain, image) = prepared(16 * MIB).await;
    let exact = shared("gal/images/def/versions/1.0.0", LATEST);
    let targets = [
        distributor(0, "first", exact.clone()),
        distributor(1, "second", exact),
        distributor(2, "disk", vhd()),
    ];
    let error = publish(&s, &image, "run-1", &targets).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::VersionConflict);
    assert!(
        error.message.starts_with("Failed in distributing 1 images out of total 3: "),
        "{error}"
    );
    let published: Vec<_> =
        error.details.iter().filter(|line| line.starts_with("published: ")).collect();
    assert_eq!(published.len(), 2, "{:?}", error.details);
    assert_eq!(Store::open(&s.cx.layout).list().unwrap().len(), 1);
    assert!(s.unfinished().is_empty());
}

#[tokio::test]
async fn concurrent_runs_get_different_numbers_and_share_the_conversion() {
    let s = setting().await;
    let chain = s.chain(32 * MIB, 3 * MIB).await;
    let one = async |run: usize| {
        let image = standalone(&s.cx, &s.host, &chain.top, &chain.key).await.unwrap();
        let outputs = publish(&s, &image, &format!("run-{run}"), &all()[1..2]).await.unwrap();
        (fs::metadata(&image.disk).unwrap().ino(), outputs[0].artifact_id.clone().unwrap())
    };
    let results = futures_util::future::join_all((0..6).map(one)).await;
    assert!(results.iter().all(|(inode, _)| *inode == results[0].0), "{results:?}");
    let mut versions: Vec<_> =
        results.iter().map(|(_, id)| id.rsplit('/').next().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, ["0.0.1", "0.0.2", "0.0.3", "0.0.4", "0.0.5", "0.0.6"]);
}

#[tokio::test]
async fn canceled_run_leaves_no_unfinished_files() {
    let (s, _chain, image) = prepared(64 * MIB).await;
    let targets = distribute::check(&s.cx, &all(), Some("12.11"), "").unwrap();
    s.cx.cancel.cancel();
    let error = publish_to(&s, &image, "r", &targets).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Canceled);
    assert!(Store::open(&s.cx.layout).list().unwrap().is_empty());
    assert!(s.unfinished().is_empty(), "{:?}", s.unfinished());
}

#[tokio::test]
async fn leftovers_of_killed_conversion_are_swept() {
    let (s, chain, _image) = prepared(16 * MIB).await;
    let kept = s.cx.layout.artifacts().join(chain.key.as_str());
    fs::write(kept.join("disk.vhd.goldsmith-999.partial"), "half").unwrap();
    let before = files(&kept);
    assert_eq!(sweep(&s.cx.layout).unwrap(), 1);
    assert_eq!(files(&kept).len(), before.len() - 1);
}

#[tokio::test]
async fn stored_image_exports_as_built() {
    let (s, chain, image) = prepared(32 * MIB).await;
    publish(&s, &image, "run-1", &all()[..1]).await.unwrap();
    drop(image);
    // The cache may be removed at any time: the store does not need it.
    fs::remove_dir_all(s.cx.layout.cache()).unwrap();
    let stored = Store::open(&s.cx.layout).get("web").unwrap();
    let image = images::store::stored(&s.cx, &stored).await.unwrap();
    let spec = format!("vhd={}", s.path("web.vhd").display()).parse().unwrap();
    images::export::write(&s.cx, &s.host, &image, &spec, "run-2").await.unwrap();
    s.assert_same(&chain, &spec.path, "vpc").await;
}

#[tokio::test]
async fn imported_disk_is_an_independent_managed_image() {
    let s = setting().await;
    let chain = s.chain(32 * MIB, 3 * MIB).await;
    let store = Store::open(&s.cx.layout);
    // The signature of a boot sector, by which a raw disk is known.
    let raw = fs::OpenOptions::new().write(true).open(&chain.raw).unwrap();
    raw.write_all_at(&[0x55, 0xaa], 510).unwrap();
    let import = async |name: &str| {
        let first_contact = images::first_contact::FirstContact::default();
        let importing = sources::Importing { name, generation: 2, first_contact };
        sources::import(&s.cx, &s.host, &chain.raw, importing).await
    };
    let image = import("Mine").await.unwrap();
    s.assert_same(&chain, &image.disk(), "qcow2").await;
    assert_eq!(image.record.virtual_size, 32 * MIB);
    assert!(
        image.record.id.ends_with("/resourceGroups/local/providers/Microsoft.Compute/images/Mine")
    );
    let source = store.managed_source(&s.cx, &image.record.id).await.unwrap();
    assert_eq!(source, store.get("mine").unwrap());

    let error = import("mine").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    let error = import("a/b").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    assert!(s.unfinished().is_empty(), "{:?}", s.unfinished());
}
