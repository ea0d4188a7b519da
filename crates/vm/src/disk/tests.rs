use std::{fs, io::Write, os::unix::fs::MetadataExt};

use super::*;
use crate::proc::Output;

const MIB: u64 = 1024 * 1024;

/// Checks the image; corruption is an error.
async fn check(
    host: &Host,
    path: &Path,
    format: &str,
    cancel: &CancellationToken,
) -> Result<Output, Error> {
    img(host, "check").args(["-q", "-f", format, "--"]).arg(plain(path)).run(cancel, None).await
}

/// Enlarges an image; the new space is a hole.
async fn resize(host: &Host, path: &Path, format: &str, virtual_size: u64) -> Result<(), Error> {
    let command = img(host, "resize").args(["-q", "-f", format, "--"]).arg(plain(path));
    command.arg(virtual_size.to_string()).run(&quick(), Some(QUICK)).await.map(drop)
}

#[test]
fn info_reports_backing_data_file_and_encryption() {
    let json = r#"{"virtual-size":1048576,"filename":"x.qcow2","format":"qcow2","actual-size":200,
        "backing-filename":"/etc/shadow","format-specific":{"type":"qcow2","data":{
        "compat":"1.1","data-file":"/dev/sda","corrupt":true}},"dirty-flag":false,"new":1}"#;
    let info = parse_info(json).unwrap();
    assert_eq!(info.backing.as_deref(), Some("/etc/shadow"));
    assert_eq!(info.data_file.as_deref(), Some("/dev/sda"));
    assert!(info.corrupt);
    assert!(!info.is_self_contained(Path::new("x.qcow2")));
}

#[test]
fn vmdk_with_foreign_extent_is_not_self_contained() {
    let json = r#"{"virtual-size":1,"format":"vmdk","format-specific":{"type":"vmdk","data":{
        "extents":[{"filename":"/a/x.vmdk"},{"filename":"/etc/shadow"}]}}}"#;
    let mut info = parse_info(json).unwrap();
    assert!(!info.is_self_contained(Path::new("x.vmdk")));
    info.extents.pop();
    assert!(info.is_self_contained(Path::new("x.vmdk")));
}

#[test]
fn progress_line_is_parsed_as_a_fraction() {
    assert_eq!(progress("    (50.00/100%)"), Some(0.5));
    assert_eq!(progress("qemu-img: warning"), None);
}

#[tokio::test]
async fn overlay_is_created_before_its_backing_file() {
    let host = Host::probe(None).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let overlay = folder.path().join("over.qcow2");
    create_overlay(&host, &overlay, Path::new("../later/disk.qcow2"), 8 * MIB).await.unwrap();
    let header = info(&host, &overlay, Some("qcow2")).await.unwrap();
    assert_eq!(header.backing.as_deref(), Some("../later/disk.qcow2"));
    assert_eq!((header.format.as_str(), header.virtual_size), ("qcow2", 8 * MIB));
    assert!(!header.is_self_contained(&overlay));
}

#[tokio::test]
async fn conversion_flattens_reports_progress_and_keeps_holes() {
    let host = Host::probe(None).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut raw = fs::File::create(at("base.raw")).unwrap();
    raw.write_all(b"content").unwrap();
    raw.set_len(64 * MIB).unwrap();
    create_overlay_on(&host, &at("over.qcow2"), Path::new("base.raw"), "raw", 64 * MIB)
        .await
        .unwrap();
    resize(&host, &at("over.qcow2"), "qcow2", 80 * MIB).await.unwrap();

    let mut fractions = Vec::new();
    let job = Convert {
        src: &at("over.qcow2"),
        src_format: "qcow2",
        dst: &at("out.raw"),
        dst_format: "raw",
    };
    let cancel = CancellationToken::new();
    convert(&host, job, |fraction| fractions.push(fraction), &cancel).await.unwrap();
    assert_eq!(fractions.last(), Some(&1.0));
    let out = fs::metadata(at("out.raw")).unwrap();
    assert_eq!(out.len(), 80 * MIB);
    assert!(out.blocks() * 512 < MIB, "{} blocks", out.blocks());
    assert!(fs::read(at("out.raw")).unwrap().starts_with(b"content"));

    let packed = at("out.qcow2");
    let job = Convert { dst: &packed, dst_format: "qcow2", ..job };
    convert(&host, job, |_| {}, &cancel).await.unwrap();
    check(&host, &packed, "qcow2", &cancel).await.unwrap();
    assert!(info(&host, &packed, None).await.unwrap().is_self_contained(&packed));
}

#[tokio::test]
async fn info_with_wrong_format_fails() {
    let host = Host::probe(None).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, vec![7; 4096]).unwrap();
    let error = info(&host, &path, Some("qcow2")).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
}
