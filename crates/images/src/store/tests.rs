#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, os::unix::fs::MetadataExt};

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{event::Events, run_context::RunContext};

const GROUP: &str = "/subscriptions/S1/resourceGroups/Rg/providers/Microsoft.Compute";

struct Setting {
    dir: TempDir,
    cx: RunContext,
    store: Store,
}

fn setting() -> Setting {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
    let cx = RunContext::new(layout, Events::none(), CancellationToken::new());
    Setting { store: Store::open(&cx.layout), dir, cx }
}

impl Setting {
    fn payload(&self, content: &str, run: &str) -> Payload {
        let disk = self.dir.path().join(format!("made-{run}-{content}"));
        fs::write(&disk, content).unwrap();
        Payload {
            disk,
            digest: crate::digest::digest(content.as_bytes()),
            virtual_size: 1 << 30,
            data: Vec::new(),
            origin: Origin {
                os_type: "Linux".into(),
                generation: "V2".into(),
                source: Some("Debian:debian-12:12-gen2:latest".into()),
                run_id: Some(run.into()),
                ..Origin::default()
            },
            labels: Labels {
                run_output_name: Some("out".into()),
                tags: BTreeMap::from([("team".into(), "web".into())]),
                ..Labels::default()
            },
        }
    }

    async fn managed(&self, name: &str, content: &str, run: &str) -> StoredImage {
        let target = Address::parse(&format!("{GROUP}/images/{name}")).unwrap();
        self.store.publish_managed(&self.cx, &target, self.payload(content, run)).await.unwrap()
    }

    async fn version(&self, numbering: Numbering, run: &str) -> Result<StoredImage> {
        self.store.publish_version(&self.cx, &definition(), numbering, self.payload(run, run)).await
    }

    async fn exact(&self, version: &str) -> StoredImage {
        let numbering = Numbering::Exact(version.parse().unwrap());
        self.version(numbering, &format!("run-{version}")).await.unwrap()
    }

    fn unfinished(&self) -> usize {
        entries(&self.cx.layout.images().join("tmp")).unwrap().len()
    }
}

fn definition() -> Address {
    Address::parse(&format!("{GROUP}/galleries/Gal/images/Def")).unwrap()
}

fn latest() -> Numbering {
    Numbering::Latest { major: None }
}

#[tokio::test]
async fn managed_image_is_found_by_id_and_name() {
    let s = setting();
    let image = s.managed("Web", "disk", "r1").await;
    assert_eq!(image.record.id, format!("{GROUP}/images/Web"));
    assert!(image.dir.ends_with("images/managed/s1/rg/web"), "{}", image.dir.display());
    assert_eq!(fs::read_to_string(image.disk()).unwrap(), "disk");
    assert!(fs::metadata(image.disk()).unwrap().permissions().readonly());
    assert_eq!(fs::metadata(image.disk()).unwrap().nlink(), 2, "it is a link");

    for name in ["web", "WEB", &format!("{GROUP}/images/WEB").to_uppercase().replace("/S1", "/s1")]
    {
        assert_eq!(s.store.get(name).unwrap(), image, "{name}");
    }
    assert_eq!(s.unfinished(), 0);
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(image.dir.join("image.json")).unwrap()).unwrap();
    for changing in ["created", "stamp", "actualSize"] {
        assert!(json.as_object_mut().unwrap().remove(changing).is_some());
    }
    let expected = serde_json::json!({
        "format": 1,
        "id": format!("{GROUP}/images/Web"),
        "kind": "managedImage",
        "name": "Web",
        "version": null,
        "digest": crate::digest::digest(b"disk"),
        "virtualSize": 1 << 30,
        "osType": "Linux",
        "architecture": "",
        "generation": "V2",
        "source": "Debian:debian-12:12-gen2:latest",
        "sourceVersion": null,
        "template": null,
        "runId": "r1",
        "runOutputName": "out",
        "tags": { "team": "web" },
        "excludeFromLatest": false,
        "targetRegions": null,
    });
    assert_eq!(json, expected);
}

#[tokio::test]
async fn replaced_managed_image_stays_readable_for_its_readers() {
    let s = setting();
    let old = s.managed("web", "old", "r1").await;
    let reader = fs::File::open(old.disk()).unwrap();
    let new = s.managed("WEB", "new", "r2").await;
    assert_eq!(old.dir, new.dir);
    assert_eq!(io::read_to_string(reader).unwrap(), "old");
    assert_eq!(fs::read_to_string(new.disk()).unwrap(), "new");
    assert_eq!(s.store.list().unwrap(), [new]);
    assert_eq!(s.unfinished(), 0);
}

#[tokio::test]
async fn managed_image_is_replaced_atomically_for_readers() {
    let s = setting();
    s.managed("web", "0", "r0").await;
    let done = CancellationToken::new();
    let reader = {
        let (store, done) = (s.store.clone(), done.clone());
        tokio::task::spawn_blocking(move || {
            let mut looks = 0;
            while !done.is_cancelled() {
                let image = store.get("web").expect("it is always there");
                assert_eq!(image.record.name, "web");
                looks += 1;
            }
            looks
        })
    };
    for n in 1..50 {
        s.managed("web", &n.to_string(), &format!("r{n}")).await;
    }
    done.cancel();
    assert!(reader.await.unwrap() > 0);
}

#[tokio::test]
async fn publish_repeated_for_one_run_output_stores_once() {
    let s = setting();
    let first = s.managed("web", "disk", "r1").await;
    assert_eq!(s.managed("web", "disk", "r1").await, first);
    let version = s.version(latest(), "r1").await.unwrap();
    assert_eq!(s.version(latest(), "r1").await.unwrap(), version);
    let exact = s.exact("3.0.0").await;
    assert_eq!(s.exact("3.0.0").await, exact, "no conflict with itself");
    assert_eq!(s.store.versions(&definition()).unwrap().len(), 2);
}

#[tokio::test]
async fn concurrent_publishers_get_distinct_numbers() {
    let s = setting();
    let runs: Vec<_> = (0..24).map(|n| format!("r{n}")).collect();
    let images = join_all(runs.iter().map(|run| s.version(latest(), run))).await;
    let mut numbers: Vec<_> =
        images.into_iter().map(|i| i.unwrap().record.version.unwrap()).collect();
    numbers.sort_unstable();
    let expected: Vec<_> = (1..=24).map(|patch| Version::new(0, 0, patch)).collect();
    assert_eq!(numbers, expected);
    assert_eq!(s.unfinished(), 0);
}

#[tokio::test]
async fn existing_version_conflicts_and_stays() {
    let s = setting();
    let first = s.exact("1.0.0").await;
    let exact = Numbering::Exact(Version::new(1, 0, 0));
    let known_before = s.store.next_version(&definition(), exact).unwrap_err();
    assert_eq!(known_before.code, ErrorCode::VersionConflict);
    let error = s.version(exact, "other").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::VersionConflict);
    assert!(error.message.contains("version 1.0.0 is taken"), "{error}");
    assert_eq!(s.store.list().unwrap(), [first]);
    assert_eq!(s.unfinished(), 0);
}

#[tokio::test]
async fn latest_is_the_highest_version_that_is_not_excluded() {
    let s = setting();
    for version in ["1.9.0", "1.10.0", "0.99.99"] {
        s.exact(version).await;
    }
    let mut hidden = s.payload("hidden", "hidden");
    hidden.labels.exclude_from_latest = true;
    let numbering = Numbering::Exact(Version::new(9, 0, 0));
    s.store.publish_version(&s.cx, &definition(), numbering, hidden).await.unwrap();

    let id = format!("{GROUP}/galleries/gal/images/def");
    for name in ["gal/def", "gal/def/latest", &id, &format!("{id}/versions/latest")] {
        assert_eq!(s.store.get(name).unwrap().short_name(), "Gal/Def/1.10.0", "{name}");
    }
    assert_eq!(s.store.get("gal/def/9.0.0").unwrap().short_name(), "Gal/Def/9.0.0");
    let source = s.store.version_source(&s.cx, &format!("{id}/versions/latest")).await.unwrap();
    assert_eq!(source.short_name(), "Gal/Def/1.10.0");
    let listed: Vec<_> = s.store.list().unwrap().iter().map(StoredImage::short_name).collect();
    assert_eq!(listed, ["Gal/Def/0.99.99", "Gal/Def/1.9.0", "Gal/Def/1.10.0", "Gal/Def/9.0.0"]);
    let next = s.store.next_version(&definition(), latest()).unwrap();
    assert_eq!(next, Version::new(9, 0, 1), "excluded versions still have their numbers");
}

#[tokio::test]
async fn ambiguous_name_is_rejected_with_both_images() {
    let s = setting();
    s.managed("web", "a", "r1").await;
    let other = GROUP.replace("/Rg/", "/Other/");
    let target = Address::parse(&format!("{other}/images/web")).unwrap();
    s.store.publish_managed(&s.cx, &target, s.payload("b", "r2")).await.unwrap();
    let error = s.store.get("web").unwrap_err();
    assert_eq!((error.code, error.details.len()), (ErrorCode::InvalidArgument, 2));
    assert!(s.store.get(&format!("{other}/images/WEB")).is_ok());
}

#[tokio::test]
async fn missing_image_error_lists_existing_ones() {
    let s = setting();
    let empty = s.store.get("web").unwrap_err();
    assert_eq!(empty.code, ErrorCode::NotFound);
    assert!(empty.hint.unwrap().contains("import"));

    s.managed("web", "disk", "r1").await;
    let id = format!("{GROUP}/images/other");
    let error = s.store.managed_source(&s.cx, &id).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::BadManagedImageSource);
    assert!(error.message.contains("images/other"));
    assert_eq!(error.details, [format!("{GROUP}/images/web")]);

    let id = format!("{GROUP}/galleries/g/images/d/versions/latest");
    let error = s.store.version_source(&s.cx, &id).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::BadSharedImageVersionSource);
    assert!(s.store.version_source(&s.cx, &format!("{GROUP}/images/web")).await.is_err());
    assert!(s.store.managed_source(&s.cx, "web").await.is_err(), "a template names whole ids");
}

/// Changes the content or time of a stored disk without the store's knowledge.
fn tamper(image: &StoredImage, content: &str) {
    fs::remove_file(image.disk()).unwrap();
    fs::write(image.disk(), content).unwrap();
}

#[tokio::test]
async fn source_with_changed_disk_is_rejected() {
    let s = setting();
    let image = s.managed("web", "disk", "r1").await;
    let id = &image.record.id;
    assert_eq!(s.store.managed_source(&s.cx, id).await.unwrap(), image);

    tamper(&image, "disk");
    let restored = s.store.managed_source(&s.cx, id).await.unwrap();
    assert_ne!(restored.record.stamp, image.record.stamp, "the same bytes get a new stamp");
    assert_eq!(s.store.get("web").unwrap(), restored, "which is written down");

    tamper(&image, "evil");
    let error = s.store.managed_source(&s.cx, id).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::BadManagedImageSource);
    assert!(error.message.contains("SHA-256"), "{error}");
    fs::remove_file(image.disk()).unwrap();
    s.store.managed_source(&s.cx, id).await.unwrap_err();
}

#[tokio::test]
async fn linked_disk_outlives_its_image_and_replaced_image_is_not_linked() {
    let s = setting();
    let old = s.managed("web", "old", "r1").await;
    let kept = s.dir.path().join("kept");
    s.store.link(&s.cx, &old, &kept).await.unwrap();
    s.managed("web", "newer", "r2").await;
    s.store.remove("web").unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), "old");

    s.managed("web", "newest", "r3").await;
    let late = s.dir.path().join("late");
    let error = s.store.link(&s.cx, &old, &late).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(!late.exists());
}

#[tokio::test]
async fn remove_affects_exactly_one_image() {
    let s = setting();
    s.managed("web", "disk", "r1").await;
    s.exact("1.0.0").await;
    s.exact("1.0.1").await;
    for vague in ["gal/def", "gal/def/latest"] {
        let error = s.store.remove(vague).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert_eq!(error.details, ["Gal/Def/1.0.0", "Gal/Def/1.0.1"]);
    }
    assert_eq!(s.store.remove("gal/def/1.0.0").unwrap().short_name(), "Gal/Def/1.0.0");
    s.store.remove("web").unwrap();
    let left: Vec<_> = s.store.list().unwrap().iter().map(StoredImage::short_name).collect();
    assert_eq!(left, ["Gal/Def/1.0.1"]);
    s.store.remove(&format!("{GROUP}/galleries/GAL/images/DEF/versions/1.0.1")).unwrap();
    assert!(entries(&s.cx.layout.images().join("galleries")).unwrap().is_empty());
    assert_eq!(s.store.remove("web").unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(s.unfinished(), 0);
}

#[tokio::test]
async fn sweep_removes_leftovers_of_killed_process_only() {
    let s = setting();
    let image = s.managed("web", "disk", "r1").await;
    let root = s.cx.layout.images();
    let alive = s.store.work_folder("alive").unwrap();
    let dead = root.join("tmp/dead-1-0");
    fs::create_dir_all(&dead).unwrap();
    fs::write(dead.join("disk.qcow2"), "half").unwrap();
    let vhds = s.cx.layout.blobs().join("vhds");
    fs::create_dir_all(&vhds).unwrap();
    fs::write(vhds.join("a.vhd.goldsmith-r.partial"), "half").unwrap();
    fs::write(vhds.join("b.vhd"), "whole").unwrap();
    let artifacts = s.cx.layout.artifacts().join("k");
    fs::create_dir_all(&artifacts).unwrap();
    fs::write(artifacts.join("disk.vhd.goldsmith-r.partial"), "half").unwrap();
    fs::write(image.dir.join("image.json.goldsmith-1.partial"), "half").unwrap();

    assert_eq!(sweep(&s.cx.layout).unwrap(), 4);
    assert!(alive.path().exists() && !dead.exists() && vhds.join("b.vhd").exists());
    assert_eq!(s.store.list().unwrap(), [image]);
    assert_eq!(sweep(&s.cx.layout).unwrap(), 0);
}

/// As on a file system that cannot exchange two names.
#[tokio::test]
async fn image_regains_its_name_after_failed_replacement() {
    let s = setting();
    let image = s.managed("web", "disk", "r1").await;
    let root = s.cx.layout.images();
    let gone = s.store.work_folder("new").unwrap();
    fs::remove_dir_all(gone.path()).unwrap();
    publish::move_in_by_two(gone, &image.dir).unwrap_err();
    assert_eq!(s.store.list().unwrap(), std::slice::from_ref(&image));
    assert_eq!(s.unfinished(), 0);

    // Killed between the two renames, and once more after the new image took its name.
    let replaced = root.join("tmp/old-1-0/replaced");
    fs::create_dir_all(replaced.parent().unwrap()).unwrap();
    fs::rename(&image.dir, &replaced).unwrap();
    assert_eq!(s.store.list().unwrap(), []);
    assert_eq!(sweep(&s.cx.layout).unwrap(), 1);
    assert_eq!(s.store.list().unwrap(), std::slice::from_ref(&image));
    fs::create_dir_all(replaced.parent().unwrap()).unwrap();
    fs::rename(&image.dir, &replaced).unwrap();
    let new = s.managed("web", "new", "r2").await;
    assert_eq!(sweep(&s.cx.layout).unwrap(), 1);
    assert_eq!(s.store.list().unwrap(), std::slice::from_ref(&new));

    let work = s.store.work_folder("newer").unwrap();
    for name in ["disk.qcow2", "image.json"] {
        fs::copy(new.dir.join(name), work.path().join(name)).unwrap();
    }
    publish::move_in_by_two(work, &new.dir).unwrap();
    assert_eq!((s.store.list().unwrap().len(), s.unfinished()), (1, 0));
}

#[tokio::test]
async fn folder_without_record_is_ignored_and_torn_record_is_not_replaced() {
    let s = setting();
    let dir = s.cx.layout.images().join("managed/s1/rg/torn");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("disk.qcow2"), "half").unwrap();
    assert!(s.store.list().unwrap().is_empty());
    fs::write(dir.join("image.json"), "{\"format\": 1").unwrap();
    assert!(s.store.list().unwrap().is_empty());
    let target = Address::parse(&format!("{GROUP}/images/torn")).unwrap();
    let publish = || s.store.publish_managed(&s.cx, &target, s.payload("disk", "r1"));
    let error = publish().await.unwrap_err();
    assert!(error.hint.as_deref().unwrap().contains("from a backup"), "{error:?}");
    assert_eq!(fs::read_to_string(dir.join("disk.qcow2")).unwrap(), "half");
    fs::remove_file(dir.join("image.json")).unwrap();
    assert_eq!(publish().await.unwrap().record.name, "torn");
}

#[tokio::test]
async fn canceled_publish_leaves_nothing() {
    let s = setting();
    s.cx.cancel.cancel();
    let target = Address::parse(&format!("{GROUP}/images/web")).unwrap();
    let error = s.store.publish_managed(&s.cx, &target, s.payload("d", "r")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Canceled);
    assert_eq!((s.store.list().unwrap().len(), s.unfinished()), (0, 0));
}

#[tokio::test]
async fn publish_of_missing_disk_leaves_nothing() {
    let s = setting();
    let payload = Payload { disk: s.dir.path().join("gone"), ..s.payload("d", "r") };
    let target = Address::local("web").unwrap();
    let error = s.store.publish_managed(&s.cx, &target, payload).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::DistributeFailed);
    assert_eq!((s.store.list().unwrap().len(), s.unfinished()), (0, 0));
}

#[tokio::test]
async fn number_of_removed_version_is_not_reused() {
    let s = setting();
    for (expected, run) in [("0.0.1", "r1"), ("0.0.2", "r2")] {
        let made = s.version(latest(), run).await.unwrap();
        assert_eq!(made.record.version, Some(expected.parse().unwrap()));
    }
    s.store.remove("gal/def/0.0.2").unwrap();
    assert_eq!(s.store.next_version(&definition(), latest()).unwrap(), Version::new(0, 0, 3));
    // The definition becomes empty, and its folder is removed.
    s.store.remove("gal/def/0.0.1").unwrap();
    assert_eq!(s.version(latest(), "r3").await.unwrap().short_name(), "Gal/Def/0.0.3");
    // Every major number is counted separately. A number in a template may be used again.
    s.exact("1.0.5").await;
    s.store.remove("gal/def/1.0.5").unwrap();
    let major = |major| Numbering::Latest { major: Some(major) };
    assert_eq!(s.store.next_version(&definition(), major(1)).unwrap(), Version::new(1, 0, 6));
    assert_eq!(s.store.next_version(&definition(), major(0)).unwrap(), Version::new(0, 0, 4));
    s.exact("1.0.5").await;
    // The same for a version that is known elsewhere.
    s.store.reserve(&definition(), &[Version::new(2, 0, 0)]).unwrap();
    s.store.release(&definition(), Version::new(2, 0, 0)).unwrap();
    assert_eq!(s.store.next_version(&definition(), major(2)).unwrap(), Version::new(2, 0, 1));
}

#[tokio::test]
async fn number_of_removed_version_of_earlier_release_is_not_reused() {
    let s = setting();
    s.exact("1.0.5").await;
    fs::remove_dir_all(s.cx.layout.images().join("numbers")).unwrap();
    s.store.remove("gal/def/1.0.5").unwrap();
    assert_eq!(s.store.next_version(&definition(), latest()).unwrap(), Version::new(1, 0, 6));
    // An unreadable count is not a count of zero.
    let file = s.cx.layout.images().join("numbers/s1/rg/gal/def.json");
    fs::write(&file, "[").unwrap();
    let error = s.store.next_version(&definition(), latest()).unwrap_err();
    assert!(error.message.contains("cannot read the numbers"), "{}", error.message);
}

#[tokio::test]
async fn unreadable_image_is_not_absent() {
    let s = setting();
    let image = s.managed("web", "disk", "r1").await;
    let version = s.exact("1.0.0").await;
    for (image, address) in [
        (&image, Address::parse(&image.record.id).unwrap()),
        (&version, Address::parse(&version.record.id).unwrap()),
    ] {
        let (json, aside) = (image.dir.join("image.json"), image.dir.join("aside"));
        fs::rename(&json, &aside).unwrap();
        assert_eq!(s.store.at(&address).unwrap(), None, "absent");
        fs::create_dir(&json).unwrap();
        let error = s.store.at(&address).unwrap_err();
        assert!(error.message.contains("image.json"), "EISDIR: {}", error.message);
        assert!(s.store.list().is_err());
        fs::remove_dir(&json).unwrap();
        fs::write(&json, "{").unwrap();
        assert!(s.store.at(&address).is_err(), "damaged");
        assert_eq!(s.store.list().unwrap().len(), 1, "the other one is still listed");
        assert!(s.store.remove(&image.record.id).is_err());
        assert!(image.disk().exists());
        fs::rename(&aside, &json).unwrap();
    }
    // Its number is not free either.
    fs::write(version.dir.join("image.json"), "{").unwrap();
    let numbering = Numbering::Exact(Version::new(1, 0, 0));
    assert!(s.store.next_version(&definition(), numbering).is_err());
    assert_eq!(s.store.next_version(&definition(), latest()).unwrap(), Version::new(1, 0, 1));
}
