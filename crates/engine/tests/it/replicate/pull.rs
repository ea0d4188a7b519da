//! Versions that come back from a region.

use std::fs;

use api::template::{Face, ParseOptions};
use engine::{
    build::{self, Input, Wanted},
    template,
    vm_size::DEFAULT_GEN1,
};
use serde_json::json;

use super::*;

#[tokio::test]
async fn pulled_version_equals_the_original() {
    let s = with_regions().await;
    let raw = s.path("raw");
    disk(&raw, 64 * MIB + 512);
    let image = s.version(&raw, "1.0.0").await;
    s.copy(&image, &REGIONS[..2]).await;
    let store = Store::open(&s.cx.layout);
    store.remove(&image.record.id).unwrap();
    let id = format!("{DEFINITION}/versions/latest");
    let find = async |region: &str| {
        let place = s.config().region(region).unwrap().clone();
        regions::of_id(&s.cx.layout, &place, &id).await.unwrap()
    };
    assert!(find("japaneast").await.is_none());

    // One piece with another's content, and one missing piece.
    let pieces = s.pieces("eastus");
    let at = |n: usize| s.path("eastus").join("chunks").join(pieces[n].strip_prefix("/").unwrap());
    let kept = fs::read(at(0)).unwrap();
    fs::write(at(0), fs::read(at(1)).unwrap()).unwrap();
    let replica = find("eastus").await.unwrap();
    let error = regions::pull(&s.cx, &s.host, &replica).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceUnavailable);
    assert!(error.message.contains("another content"), "{}", error.message);
    fs::write(at(0), kept).unwrap();
    fs::remove_file(at(1)).unwrap();
    let error = regions::pull(&s.cx, &s.host, &replica).await.unwrap_err();
    assert!(error.message.starts_with("region eastus: "), "{}", error.message);
    assert!(store.list().unwrap().is_empty() && s.unfinished().is_empty());

    let back = regions::pull(&s.cx, &s.host, &find("westeurope").await.unwrap()).await.unwrap();
    assert_eq!(back.record.id, image.record.id);
    assert_eq!(back.record.origin, image.record.origin);
    let compare = ["compare", "-f", "raw", "-F", "qcow2"];
    let said = s.qemu_img(&compare, &[&raw, &back.disk()]).await;
    assert!(said.contains("identical"), "{said}");
    assert!(s.unfinished().is_empty(), "{:?}", s.unfinished());
    store.version_source(&s.cx, &id).await.unwrap();

    // The same version in another file: for regions that have it, and for a region that gets it
    // only now.
    assert_ne!(back.record.digest, image.record.digest);
    let moved = |copies: &[Copied]| copies.iter().map(|c| c.moved_chunks > 0).collect::<Vec<_>>();
    assert_eq!(moved(&copied(&s.copy(&back, &REGIONS).await)), [false, false, true]);
    store.remove(&back.record.id).unwrap();
    let last = regions::pull(&s.cx, &s.host, &find("japaneast").await.unwrap()).await.unwrap();
    assert_eq!(moved(&copied(&s.copy(&last, &REGIONS).await)), [false; 3]);
}

#[tokio::test]
async fn source_in_a_region_is_known_before_and_after_the_fetch() {
    let s = with_regions().await;
    let raw = s.path("raw");
    disk(&raw, 64 * MIB);
    let image = s.version(&raw, "1.0.0").await;
    s.copy(&image, &REGIONS[..1]).await;
    Store::open(&s.cx.layout).remove(&image.record.id).unwrap();
    let text = json!({
        "location": REGIONS[0], "identity": { "type": "None" },
        "properties": {
            "source": { "type": "SharedImageVersion", "imageVersionId": image.record.id },
            "distribute": [{ "type": "VHD", "runOutputName": "v" }],
        },
    });
    let resolve = async || {
        let options = ParseOptions { api_version: None, face: Face::File };
        let template = template::parse(&text.to_string(), &options).template.unwrap();
        let input = Input {
            name: "v".into(),
            template,
            base_dir: s.path(""),
            metadata: None,
            fetch: sources::fetch::Limits::default(),
        };
        build::resolve(&s.cx, input).await.unwrap()
    };
    let before = resolve().await;
    let Wanted::Replica(replica) = &before.source else { panic!("{:?}", before.source) };
    assert_eq!(before.size.name, DEFAULT_GEN1, "of its generation");
    assert!(before.source.present(&s.cx, &s.host).await.unwrap().is_none());
    regions::pull(&s.cx, &s.host, replica).await.unwrap();
    let after = resolve().await;
    assert!(matches!(after.source, Wanted::Stored(_)), "{:?}", after.source);
    assert_eq!(after.size, before.size);
}

#[tokio::test]
async fn version_is_copied_and_pulled_with_its_data_disks() {
    let s = with_regions().await;
    let (raw, data) = (s.path("raw"), s.path("data.raw"));
    disk(&raw, 64 * MIB);
    disk(&data, 32 * MIB).write_all_at(&noise(2 * MIB, 7), 4 * MIB).unwrap();
    let made = s.path("data.qcow2");
    s.qemu_img(&["convert", "-f", "raw", "-O", "qcow2"], &[&data, &made]).await;
    let sha256 = images::image_file::digest::sha256(&s.cx, &made, "hash").await.unwrap();
    let disks = vec![DataDisk { disk: made, sha256, virtual_size: 32 * MIB }];
    let image = s.version_with(&raw, "1.0.0", disks).await;
    let first = copied(&s.copy(&image, &REGIONS[..1]).await)[0];
    // The noise that both disks have is stored once.
    assert!(first.moved_chunks < first.chunks, "{first:?}");
    assert_eq!(copied(&s.copy(&image, &REGIONS[..1]).await)[0].moved_chunks, 0, "it is there");

    let store = Store::open(&s.cx.layout);
    store.remove(&image.record.id).unwrap();
    let place = s.config().region(REGIONS[0]).unwrap().clone();
    let replica = regions::of_id(&s.cx.layout, &place, &image.record.id).await.unwrap().unwrap();
    let back = regions::pull(&s.cx, &s.host, &replica).await.unwrap();
    let compare = ["compare", "-f", "raw", "-F", "qcow2"];
    for (content, disk) in [(&raw, back.disk()), (&data, back.data()[0].disk.clone())] {
        let said = s.qemu_img(&compare, &[content, &disk]).await;
        assert!(said.contains("identical"), "{said}");
    }
    assert!(s.unfinished().is_empty(), "{:?}", s.unfinished());
    store.version_source(&s.cx, &image.record.id).await.unwrap();
    assert_eq!(copied(&s.copy(&back, &REGIONS[..1]).await)[0].moved_chunks, 0, "it is there");
}
