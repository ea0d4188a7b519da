//! A bit flips in a file of the cache, and the modification time stays. The next build delivers the
//! template's image, or fails. It never delivers the damaged bytes.

use std::{
    fs::{self, FileTimes, OpenOptions},
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use api::ErrorCode;
use engine::build::{self, Report, Request};
use images::{
    error::Result,
    event::{Event, Events},
    export::{self, Exported},
    run_context::RunContext,
    store::Store,
};
use vm::fake::Call;

use crate::matrix::{Bench, names};

/// Flips a bit in the middle and restores the mode and the modification time.
pub(crate) fn flip(path: &Path) {
    let before = fs::metadata(path).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let (mut byte, at) = ([0], before.len() / 2);
    file.read_exact_at(&mut byte, at).unwrap();
    // A second write to the file system in one tick of the kernel's clock leaves no trace of its
    // own.
    loop {
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        file.set_times(FileTimes::new().set_modified(before.modified().unwrap())).unwrap();
        file.set_permissions(before.permissions()).unwrap();
        let after = file.metadata().unwrap();
        assert_eq!((after.len(), after.modified().ok()), (before.len(), before.modified().ok()));
        if (after.ctime(), after.ctime_nsec()) != (before.ctime(), before.ctime_nsec()) {
            return;
        }
    }
}

/// Builds, with an export to `name`. Also returns the warnings.
async fn build(bench: &Bench, name: &str) -> (Result<Report>, Vec<String>) {
    let (events, mut seen) = Events::channel();
    let cx = RunContext { events, ..bench.cx() };
    let plan = bench.plan(&cx).await;
    let export = format!("vhd={}", bench.dir.path().join(name).display());
    let request = Request { exports: vec![export.parse().unwrap()], ..bench.request() };
    let report = build::build(&cx, &bench.host, &bench.fake, &plan, &request).await;
    drop(cx);
    let mut warnings = Vec::new();
    while let Some(event) = seen.recv().await {
        if let Event::Warning { text } = event {
            warnings.push(text);
        }
    }
    (report, warnings)
}

fn bytes(exported: &Exported) -> Vec<u8> {
    fs::read(&exported.path).unwrap()
}

fn only(paths: impl IntoIterator<Item = PathBuf>) -> PathBuf {
    let mut paths: Vec<_> = paths.into_iter().collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths.remove(0)
}

fn artifact(bench: &Bench, name: &str) -> PathBuf {
    let dir = bench.layout.artifacts();
    let dirs = names(&dir).into_iter().map(|key| dir.join(key).join(name));
    only(dirs.filter(|path| path.exists()))
}

fn starts(bench: &Bench) -> usize {
    bench.fake.calls().iter().filter(|call| matches!(call, Call::Start(_))).count()
}

fn node(bench: &Bench, kind: &str) -> PathBuf {
    let store = engine::node::NodeStore::new(&bench.layout);
    let of_kind = store.all().unwrap().into_iter().filter(|node| node.meta.kind == kind);
    only(of_kind.map(|node| store.dir(&node.meta.key)))
}

#[tokio::test]
async fn damaged_vhd_in_the_cache_is_made_again() {
    let bench = Bench::new().await;
    let (first, _) = build(&bench, "one.vhd").await;
    let first = first.unwrap().exports.remove(0);
    flip(&artifact(&bench, "disk.vhd"));
    let (second, warnings) = build(&bench, "two.vhd").await;
    let second = second.unwrap().exports.remove(0);
    // QEMU gives each VHD an id of its own, in its footer.
    let disk = |exported| bytes(exported)[..4 << 20].to_vec();
    assert_eq!(disk(&first), disk(&second));
    assert!(warnings.iter().any(|w| w.contains("disk.vhd is damaged")), "{warnings:?}");
    assert_eq!(starts(&bench), 1);
    let (_, warnings) = build(&bench, "three.vhd").await;
    assert_eq!(warnings, Vec::<String>::new());
}

#[tokio::test]
async fn damaged_disk_in_the_cache_is_made_again_for_the_next_image() {
    let bench = Bench::new().await;
    build(&bench, "one.vhd").await.0.unwrap();
    let before = fs::read(artifact(&bench, "disk.qcow2")).unwrap();
    flip(&artifact(&bench, "disk.qcow2"));
    let (report, warnings) = build(&bench, "two.vhd").await;
    let output = report.unwrap().outputs.remove(0);
    assert_eq!(fs::read(&output.path).unwrap(), before);
    assert_eq!(images::digest::digest(&before), output.digest.hex());
    assert!(warnings.iter().any(|w| w.contains("disk.qcow2 is damaged")), "{warnings:?}");
}

#[tokio::test]
async fn damaged_node_and_its_descendants_are_made_again() {
    for (kind, steps) in [("Boot", 2), ("Generalize", 0)] {
        let bench = Bench::new().await;
        build(&bench, "one.vhd").await.0.unwrap();
        let scripts = || bench.fake.commands().iter().filter(|c| c.contains("mktemp")).count();
        let before = scripts();
        flip(&node(&bench, kind).join("disk.qcow2"));
        let (report, warnings) = build(&bench, "two.vhd").await;
        report.unwrap();
        assert!(warnings.iter().any(|w| w.contains("disk.qcow2 is not what was sealed")), "{kind}");
        assert_eq!(starts(&bench), 2, "{kind}");
        assert_eq!(scripts() - before, steps, "{kind}");
        let (_, warnings) = build(&bench, "three.vhd").await;
        assert_eq!(warnings, Vec::<String>::new());
    }
}

#[tokio::test]
async fn damaged_node_in_use_fails_the_build() {
    let bench = Bench::new().await;
    build(&bench, "one.vhd").await.0.unwrap();
    let dir = node(&bench, "Generalize");
    let store = engine::node::NodeStore::new(&bench.layout);
    let last =
        store.all().unwrap().into_iter().find(|node| node.meta.kind == "Generalize").unwrap();
    let held = store.hold(&last.meta.key).unwrap().unwrap();
    flip(&dir.join("disk.qcow2"));
    let error = build(&bench, "two.vhd").await.0.unwrap_err();
    assert_eq!(error.code, ErrorCode::BadImage);
    assert!(error.message.contains("another run stands on it"), "{error}");
    drop(held);
    build(&bench, "two.vhd").await.0.unwrap();
}

#[tokio::test]
async fn damaged_ram_is_not_resumed_and_the_disk_is_booted() {
    let bench = Bench::new().await;
    build(&bench, "one.vhd").await.0.unwrap();
    let boot = node(&bench, "Boot");
    flip(&boot.join("ram"));
    let store = engine::node::NodeStore::new(&bench.layout);
    for kind in ["Generalize", "Shell", "Shell"] {
        let parents: Vec<_> =
            store.all().unwrap().into_iter().map(|node| node.meta.parent).collect();
        let leaf = store.all().unwrap().into_iter().find(|node| {
            let this = engine::node::Parent::Node(node.meta.key.clone());
            node.meta.kind == kind && !parents.contains(&this)
        });
        assert!(store.remove(&leaf.unwrap()).unwrap());
    }
    let (report, warnings) = build(&bench, "two.vhd").await;
    report.unwrap();
    assert!(warnings.iter().any(|w| w.contains("RAM of node")), "{warnings:?}");
    assert!(!boot.join("ram").exists());
}

#[tokio::test]
async fn damaged_source_fails_the_build_or_is_made_again() {
    let bench = Bench::new().await;
    build(&bench, "one.vhd").await.0.unwrap();
    let sources = bench.layout.sources();
    let dirs = names(&sources).into_iter().map(|digest| sources.join(digest).join("disk.qcow2"));
    let source = only(dirs.filter(|disk| disk.exists()));

    // A file of its own is made again from the stored image.
    let copy = source.with_extension("copy");
    fs::copy(&source, &copy).unwrap();
    fs::rename(&copy, &source).unwrap();
    build(&bench, "two.vhd").await.0.unwrap();
    flip(&source);
    let (report, warnings) = build(&bench, "three.vhd").await;
    report.unwrap();
    assert!(warnings.iter().any(|w| w.contains("is damaged and is made again")), "{warnings:?}");

    // A link to the stored image cannot be made again, since the stored image is damaged too.
    flip(&source);
    let plan = build::resolve(&bench.cx(), bench.input()).await;
    let errors = plan.err().unwrap();
    assert_eq!(errors[0].code, ErrorCode::BadManagedImageSource, "{errors:?}");
}

#[tokio::test]
async fn damaged_stored_image_is_not_exported() {
    let bench = Bench::new().await;
    build(&bench, "one.vhd").await.0.unwrap();
    let image = Store::open(&bench.layout).get(crate::matrix::TARGET).unwrap();
    flip(&image.disk());
    let spec = format!("vhd={}", bench.dir.path().join("two.vhd").display()).parse().unwrap();
    let error = export::of_stored(&bench.cx(), &bench.host, &image, &[spec]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::BadImage);
    assert!(!bench.dir.path().join("two.vhd").exists());
}

/// An unchanged file is not read: here the files are removed, and only the records of their
/// attributes remain.
#[tokio::test]
async fn unchanged_cache_is_not_read_again() {
    let bench = Bench::new().await;
    build(&bench, "one.vhd").await.0.unwrap();
    let disk = artifact(&bench, "disk.qcow2");
    let verified = images::image_file::verified::Verified::new(&bench.layout);
    let digest = images::image_file::digest::sha256(&bench.cx(), &disk, "hash").await.unwrap();
    let digest = images::digest::Digest::Plain(digest);
    assert!(verified.holds(&disk, &digest), "artifact");
    let store = engine::node::NodeStore::new(&bench.layout);
    for node in store.all().unwrap() {
        for (name, hex) in &node.meta.files {
            let digest = images::digest::Digest::Sparse(hex.clone());
            assert!(verified.holds(&node.file(name), &digest), "{}: {name}", node.meta.kind);
        }
        assert!(node.meta.files.contains_key("disk.qcow2"));
    }
}

#[tokio::test]
async fn unreadable_node_fails_the_build_and_stays() {
    let bench = Bench::new().await;
    let (built, _) = build(&bench, "first.vhd").await;
    built.unwrap();
    let nodes = names(&bench.layout.nodes());
    // A folder in place of the description: reading it fails with an error other than "not found".
    for node in &nodes {
        let description = bench.layout.nodes().join(node).join("node.json");
        fs::rename(&description, description.with_extension("aside")).unwrap();
        fs::create_dir(&description).unwrap();
    }
    let (built, _) = build(&bench, "second.vhd").await;
    let error = built.unwrap_err();
    assert_eq!(error.code, ErrorCode::HostNotReady);
    assert!(error.message.contains("node.json"), "{error}");
    assert_eq!(names(&bench.layout.nodes()), nodes);
}
