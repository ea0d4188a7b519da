//! `--export` with the real qemu-img.

use std::{fs, os::unix::fs::MetadataExt, panic::AssertUnwindSafe, path::Path};

use api::ErrorCode;
use futures_util::FutureExt;
use images::{
    digest::Digest,
    event::{Event, Events},
    export::{self, ExportSpec},
    files::partial::partial_path,
    format::Format,
    image_file::{
        artifact::{Standalone, standalone},
        footer,
    },
    layout::Layout,
    ledger::{self, Ledger},
};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use vm::proc::Command;

use crate::disks::{Chain, MIB, Setting, allocated, files, noise, setting};

async fn prepared(size: u64) -> (Setting, Chain, Standalone) {
    let s = setting().await;
    let chain = s.chain(size, 3 * MIB).await;
    let image = standalone(&s.cx, &s.host, &chain.top, &chain.key).await.unwrap();
    (s, chain, image)
}

fn spec(s: &Setting, format: &str, name: &str) -> ExportSpec {
    format!("{format}={}", s.path(name).display()).parse().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Computed from every byte of the file, as documented in `images::image_file::digest`.
fn digest(path: &Path, format: Format) -> Digest {
    let bytes = fs::read(path).unwrap();
    if !matches!(format, Format::Raw | Format::Vhd) {
        return Digest::Plain(sha256(&bytes));
    }
    let mut text = format!("goldsmith sparse 1\n{}\n", bytes.len());
    for (number, part) in bytes.chunks(1 << 20).enumerate() {
        if part.iter().any(|byte| *byte != 0) {
            text += &format!("{number} {}\n", sha256(part));
        }
    }
    Digest::Sparse(sha256(text.as_bytes()))
}

#[tokio::test]
async fn every_format_has_the_content_holes_and_reported_digest() {
    let (s, chain, image) = prepared(256 * MIB).await;
    let specs: Vec<_> = Format::ALL
        .iter()
        .map(|format| spec(&s, format.name(), &format!("out.{format}")))
        .collect();
    let ledger = Ledger::open(&s.cx.layout, "r1").unwrap();
    let exported = export::write_all(&s.cx, &s.host, &image, &specs, &ledger, "r1").await.unwrap();

    assert_eq!(exported.len(), 4);
    for (done, spec) in exported.iter().zip(&specs) {
        let (format, path) = (spec.format, &spec.path);
        s.assert_same(&chain, path, format.driver()).await;
        assert_eq!(done.digest, digest(path, format), "{format}");
        assert_eq!(done.bytes, fs::metadata(path).unwrap().len());
        assert_eq!(done.virtual_size, 256 * MIB);
        assert!(allocated(path) < 8 * MIB, "{format} takes {} bytes", allocated(path));
        assert_eq!(done.allocated_bytes, allocated(path));
    }
    for format in ["qcow2", "vmdk"] {
        s.qemu_img(&["check", "-q", "-f", format], &[&s.path(&format!("out.{format}"))]).await;
    }
    let info = s.qemu_img(&["info", "-f", "qcow2"], &[&s.path("out.qcow2")]).await;
    assert!(info.contains("compression type: zstd") && !info.contains("backing"), "{info}");
    let vmdk = fs::read(s.path("out.vmdk")).unwrap();
    let descriptor = String::from_utf8_lossy(&vmdk[..16384]);
    assert!(descriptor.contains("SPARSE \"out.vmdk\""), "{descriptor}");
    assert!(!descriptor.contains("partial"));
    assert!(s.unfinished().is_empty(), "{:?}", s.unfinished());
    assert!(ledger.rows().unwrap().read.is_empty(), "the ledger holds nothing any more");
    ledger.close().unwrap();
    assert!(ledger::runs(&s.cx.layout).unwrap().is_empty());
}

#[tokio::test]
async fn vhd_is_rounded_up_to_a_whole_mib() {
    let size = 20 * MIB + 512;
    let (s, chain, image) = prepared(size).await;
    let spec = spec(&s, "vhd", "odd.vhd");
    let done = export::write(&s.cx, &s.host, &image, &spec, "r1").await.unwrap();
    assert_eq!(done.bytes, 21 * MIB + 512);
    let read = footer::verify(&spec.path, size).unwrap();
    assert_eq!((read.current_size, &read.creator), (21 * MIB, b"qem2"));
    s.assert_same(&chain, &spec.path, "vpc").await;
    let info = s.qemu_img(&["info", "-f", "vpc"], &[&spec.path]).await;
    assert!(info.contains(&format!("({} bytes)", 21 * MIB)), "{info}");
    // As a raw disk it is content, zeros, footer: Azure's view of it.
    let bytes = fs::read(&spec.path).unwrap();
    let content = fs::read(&chain.raw).unwrap();
    assert!(bytes.starts_with(&content));
    assert!(bytes[content.len()..bytes.len() - 512].iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn dynamic_vhd_is_distinguished_from_fixed_vhd() {
    let s = setting().await;
    let path = s.path("dynamic.vhd");
    s.qemu_img(&["create", "-q", "-f", "vpc", "-o", "force_size=on"], &[&path, Path::new("8M")])
        .await;
    let error = footer::verify(&path, 8 * MIB).unwrap_err();
    assert!(error.message.contains("disk type is 3"), "{error}");
}

#[tokio::test]
async fn existing_file_stays_without_replace() {
    let (s, chain, image) = prepared(16 * MIB).await;
    let spec = spec(&s, "raw", "out.raw");
    fs::write(&spec.path, "precious").unwrap();
    let error = export::write(&s.cx, &s.host, &image, &spec, "r1").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.hint.unwrap().contains("--force"));
    assert_eq!(fs::read_to_string(&spec.path).unwrap(), "precious");

    let spec = spec.replacing(true);
    export::write(&s.cx, &s.host, &image, &spec, "r1").await.unwrap();
    s.assert_same(&chain, &spec.path, "raw").await;
}

#[tokio::test]
async fn repeated_export_is_identical_and_not_linked() {
    let (s, chain, image) = prepared(64 * MIB).await;
    for format in ["qcow2", "vhd"] {
        let one = spec(&s, format, &format!("one.{format}"));
        let two = spec(&s, format, &format!("two.{format}"));
        let first = export::write(&s.cx, &s.host, &image, &one, "r1").await.unwrap();
        // A user may write to an exported file without any effect on the next export or the store.
        assert_eq!(fs::metadata(&one.path).unwrap().nlink(), 1);
        fs::write(&one.path, "changed").unwrap();
        let second = export::write(&s.cx, &s.host, &image, &two, "r2").await.unwrap();
        assert_eq!(first.digest, second.digest);
        assert_eq!(digest(&two.path, two.format), second.digest);
        s.assert_same(&chain, &two.path, two.format.driver()).await;
    }
}

#[tokio::test]
async fn changed_artifact_is_made_again() {
    let (s, chain, image) = prepared(16 * MIB).await;
    let spec = spec(&s, "qcow2", "out.qcow2").replacing(true);
    export::write(&s.cx, &s.host, &image, &spec, "r1").await.unwrap();
    let kept = s.cx.layout.artifacts().join(chain.key.as_str()).join("packed.qcow2");
    fs::remove_file(&kept).unwrap();
    fs::write(&kept, noise(100, 1)).unwrap();
    export::write(&s.cx, &s.host, &image, &spec, "r2").await.unwrap();
    s.assert_same(&chain, &spec.path, "qcow2").await;
}

#[tokio::test]
async fn canceled_export_leaves_nothing() {
    for format in ["qcow2", "raw", "vhd", "vmdk"] {
        let (mut s, _chain, image) = prepared(64 * MIB).await;
        let (events, mut receiver) = Events::channel();
        s.cx.events = events;
        let spec = spec(&s, format, "out");
        let before = files(s.dir.path());
        let cancel = s.cx.cancel.clone();
        let watcher = tokio::spawn(async move {
            // The first sign of work.
            while let Some(event) = receiver.recv().await {
                if matches!(event, Event::Progress { .. }) {
                    cancel.cancel();
                }
            }
        });
        let error = export::write(&s.cx, &s.host, &image, &spec, "r1").await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Canceled, "{format}: {error}");
        s.cx.events = Events::none();
        watcher.await.unwrap();
        let mut after = files(s.dir.path());
        // A form that was finished before the cancel belongs to the cache, and lock files stay.
        let cache = |path: &std::path::PathBuf| {
            path.starts_with("/cache/artifacts") || path.starts_with("/cache/locks")
        };
        after.retain(|path| !before.contains(path) && !cache(path));
        assert!(after.is_empty(), "{format}: {after:?}");
        assert!(s.unfinished().is_empty(), "{format}: {:?}", s.unfinished());
    }
}

#[tokio::test]
async fn dropped_export_leaves_nothing() {
    let (s, _chain, image) = prepared(64 * MIB).await;
    let spec = spec(&s, "vmdk", "out.vmdk");
    let partial = partial_path(&spec.path, "r1");
    {
        let work = export::write(&s.cx, &s.host, &image, &spec, "r1");
        tokio::pin!(work);
        let made = async {
            while !partial.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = made => {}
            done = &mut work => panic!("it was faster than a look at the folder: {done:?}"),
        }
    }
    assert!(!partial.exists() && !spec.path.exists());
}

/// Runs `work` while a tiny file system is mounted at `path`. Needs root.
async fn on_a_tiny_disk(path: &Path, size: &str, work: impl Future<Output = ()>) {
    let run = async |program: Command| {
        let cancel = CancellationToken::new();
        program.arg(path).run(&cancel, None).await
    };
    fs::create_dir_all(path).unwrap();
    let options = format!("size={size}");
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]);
    if run(mount).await.is_err() {
        assert!(!rustix::process::geteuid().is_root(), "as root this must not be left out");
        println!("skipped: mounting a tmpfs needs root");
        return;
    }
    let result = AssertUnwindSafe(work).catch_unwind().await;
    run(Command::new("umount").arg("--lazy")).await.unwrap();
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[tokio::test]
async fn full_disk_is_reported_and_nothing_remains() {
    let s = setting().await;
    let chain = s.chain(64 * MIB, 12 * MIB).await;
    let image = standalone(&s.cx, &s.host, &chain.top, &chain.key).await.unwrap();
    let tiny = s.path("tiny");
    on_a_tiny_disk(&tiny, "4m", async {
        for format in ["raw", "vhd", "qcow2", "vmdk"] {
            let spec = spec(&s, format, "tiny/out");
            let error = export::write(&s.cx, &s.host, &image, &spec, "r1").await.unwrap_err();
            assert_eq!(error.code, ErrorCode::DiskFull, "{format}: {error:?}");
            assert!(error.message.contains("is needed"), "{format}: {error}");
            assert!(files(&tiny).is_empty(), "{format}");
        }

        // A compressed image proves too large only while it is written: here the cache is full.
        let mut cx = s.cx.clone();
        cx.layout = Layout::new(tiny.clone(), s.path("data"));
        let spec = spec(&s, "qcow2", "out");
        let error = export::write(&cx, &s.host, &image, &spec, "r1").await.unwrap_err();
        assert_eq!(error.code, ErrorCode::DiskFull, "{error:?}");
        assert!(error.message.contains("is free"), "{error}");
        let left = files(&tiny);
        assert!(!left.iter().any(|path| path.starts_with("/artifacts")), "{left:?}");
    })
    .await;
}

#[tokio::test]
async fn concurrent_exports_of_one_image_convert_once() {
    let (s, _chain, image) = prepared(64 * MIB).await;
    let (one, two) = (spec(&s, "qcow2", "one"), spec(&s, "qcow2", "two"));
    let (first, second) = tokio::join!(
        export::write(&s.cx, &s.host, &image, &one, "r1"),
        export::write(&s.cx, &s.host, &image, &two, "r2"),
    );
    // Compression is not deterministic (clusters are written as they are ready), so equal digests
    // prove one conversion.
    assert_eq!(first.unwrap().digest, second.unwrap().digest);
    assert!(s.unfinished().is_empty());
}

#[tokio::test]
async fn missing_parent_folder_fails_only_its_export() {
    let (s, _chain, image) = prepared(16 * MIB).await;
    let specs = [spec(&s, "raw", "nowhere/out.raw"), spec(&s, "raw", "fine.raw")];
    let ledger = Ledger::open(&s.cx.layout, "r1").unwrap();
    let error = export::write_all(&s.cx, &s.host, &image, &specs, &ledger, "r1").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    assert!(error.hint.unwrap().starts_with("mkdir -p "));
    assert!(s.path("fine.raw").exists(), "one that fails does not stop the others");
    assert!(ledger.rows().unwrap().read.is_empty());
}
