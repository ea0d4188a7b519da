use std::{fs, os::unix::fs::FileExt, path::PathBuf};

use images::{event::Events, first_contact::LoginFile, layout::Layout};
use tokio_util::sync::CancellationToken;
use vm::proc::Command;

use super::*;

const SIZE: u64 = 4 << 20;

struct Bench {
    folder: tempfile::TempDir,
    host: Host,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::probe(None).await.unwrap();
        // A disk with a boot sector and some data at its end.
        let disk = fs::File::create(folder.path().join("disk.raw")).unwrap();
        disk.set_len(SIZE).unwrap();
        disk.write_all_at(&[0x55, 0xaa], 510).unwrap();
        disk.write_all_at(b"the end", SIZE - 7).unwrap();
        Self { folder, host }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn img(&self, line: &str) {
        let words = line.split(' ').map(|word| word.replace("@", self.path("").to_str().unwrap()));
        let command = Command::new(&self.host.qemu_img).args(words);
        command.run(&CancellationToken::new(), None).await.unwrap();
    }

    async fn check(&self, name: &str) -> Result<ImageFacts> {
        check_importable(&self.host, &self.path(name)).await
    }

    async fn refused(&self, name: &str, says: &str) {
        let error = self.check(name).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::BadImage, "{name}: {error}");
        assert!(error.message.contains(says), "{name}: {error}");
        assert!(error.message.contains(name) && error.hint.is_some(), "{name}: {error}");
    }

    fn cx(&self) -> RunContext {
        let layout = Layout::new(self.path("cache"), self.path("data"));
        RunContext::new(layout, Events::none(), CancellationToken::new())
    }
}

fn linux(name: &str, generation: u8) -> Importing<'_> {
    Importing { name, generation, first_contact: FirstContact::default() }
}

#[tokio::test]
async fn imported_image_retains_its_content() {
    let bench = Bench::new().await;
    bench.img("convert -f raw -O qcow2 @disk.raw @a.img").await;
    bench.img("convert -f raw -O qcow2 -c -o compat=0.10 @disk.raw @old.qcow2").await;
    bench.img("convert -f raw -O vpc @disk.raw @dynamic.vhd").await;
    bench.img("convert -f raw -O vpc -o subformat=fixed,force_size=on @disk.raw @fixed.vhd").await;
    bench.img("convert -f raw -O vmdk @disk.raw @sparse.vmdk").await;
    bench.img("convert -f raw -O vmdk -o subformat=streamOptimized @disk.raw @stream.vmdk").await;
    for (name, format) in [
        ("disk.raw", "raw"),
        ("a.img", "qcow2"),
        ("old.qcow2", "qcow2"),
        ("dynamic.vhd", "vhd"),
        ("fixed.vhd", "vhd"),
        ("sparse.vmdk", "vmdk"),
        ("stream.vmdk", "vmdk"),
    ] {
        let facts = bench.check(name).await.unwrap();
        assert_eq!(facts.format, format, "{name}");
        let (copy, raw) = (bench.path("copy.qcow2"), bench.path("copy.raw"));
        convert_in(&bench.cx(), &bench.host, &bench.path(name), &facts, &copy).await.unwrap();
        let info = disk::info(&bench.host, &copy, Some("qcow2")).await.unwrap();
        assert_eq!((info.virtual_size, info.backing), (facts.virtual_size, None), "{name}");
        bench.img("convert -f qcow2 -O raw @copy.qcow2 @copy.raw").await;
        let (original, copied) =
            (fs::read(bench.path("disk.raw")).unwrap(), fs::read(raw).unwrap());
        // A dynamic VHD rounds up to whole cylinders.
        assert!(copied[..original.len()] == original[..], "{name}");
        assert!(copied[original.len()..].iter().all(|byte| *byte == 0), "{name}");
    }
}

#[tokio::test]
async fn image_that_refers_to_other_files_is_rejected() {
    let bench = Bench::new().await;
    bench.img("convert -f raw -O qcow2 @disk.raw @base.qcow2").await;
    bench.img("create -q -f qcow2 -b @base.qcow2 -F qcow2 @overlay.qcow2").await;
    bench.refused("overlay.qcow2", "backing file").await;
    bench.img("create -q -f qcow2 -u -b /etc/passwd -F raw @thief.qcow2 1M").await;
    bench.refused("thief.qcow2", "backing file").await;
    bench.img("create -q -f qcow2 -o data_file=@data.raw @outside.qcow2 1M").await;
    bench.refused("outside.qcow2", "another file").await;
    bench.img("convert -f raw -O vmdk -o subformat=monolithicFlat @disk.raw @flat.vmdk").await;
    bench.refused("flat.vmdk", "other files").await;
    bench.img("convert -f raw -O vmdk @disk.raw @parent.vmdk").await;
    bench.img("create -q -f vmdk -b @parent.vmdk -F vmdk @child.vmdk").await;
    bench.refused("child.vmdk", "difference").await;

    // With a capacity of 0, readers follow the extents in the descriptor.
    let parent = fs::read(bench.path("parent.vmdk")).unwrap();
    fs::write(bench.path("sly.vmdk"), [&parent[..12], &[0; 8], &parent[20..]].concat()).unwrap();
    bench.refused("sly.vmdk", "other files").await;

    bench.img("convert -f raw -O vpc @disk.raw @child.vhd").await;
    let child = fs::OpenOptions::new().write(true).open(bench.path("child.vhd")).unwrap();
    child.write_all_at(&4u32.to_be_bytes(), 60).unwrap();
    bench.refused("child.vhd", "difference").await;
}

#[tokio::test]
async fn damaged_or_unknown_image_is_rejected() {
    let bench = Bench::new().await;
    fs::write(bench.path("text.raw"), "a".repeat(512)).unwrap();
    bench.refused("text.raw", "not a disk image").await;
    fs::write(bench.path("odd.raw"), [0; 513]).unwrap();
    bench.refused("odd.raw", "sectors").await;
    fs::write(bench.path("empty.raw"), []).unwrap();
    bench.refused("empty.raw", "sectors").await;
    fs::write(bench.path("cut.qcow2"), b"QFI\xfb\0\0\0\x03").unwrap();
    bench.refused("cut.qcow2", "cut off").await;
    fs::write(bench.path("packed.qcow2.xz"), b"\xfd7zXZ\0rest").unwrap();
    bench.refused("packed.qcow2.xz", "compressed").await;
    bench.img("create -q -f vhdx @other.vhdx 4M").await;
    bench.refused("other.vhdx", "VHDX").await;
    fs::create_dir(bench.path("folder")).unwrap();
    bench.refused("folder", "not a file").await;
    let error = bench.check("nowhere.qcow2").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);

    bench.img("convert -f raw -O qcow2 @disk.raw @secret.qcow2").await;
    let secret = fs::OpenOptions::new().write(true).open(bench.path("secret.qcow2")).unwrap();
    secret.write_all_at(&1u32.to_be_bytes(), 32).unwrap();
    bench.refused("secret.qcow2", "encrypted").await;
    bench.img("convert -f raw -O qcow2 @disk.raw @broken.qcow2").await;
    let broken = fs::OpenOptions::new().write(true).open(bench.path("broken.qcow2")).unwrap();
    broken.write_all_at(&2u64.to_be_bytes(), 72).unwrap();
    bench.refused("broken.qcow2", "corrupt").await;
}

#[tokio::test]
async fn declared_format_must_match_the_content() {
    let bench = Bench::new().await;
    bench.img("convert -f raw -O qcow2 @disk.raw @a.qcow2").await;
    let as_format = async |name: &str, format| {
        check(&bench.host, &bench.path(name), Some(format)).await.map_err(|e| e.message)
    };
    assert!(as_format("a.qcow2", Format::Raw).await.unwrap_err().contains("is a qcow2 image"));
    assert!(as_format("disk.raw", Format::Qcow2).await.unwrap_err().contains("not a qcow2 image"));
    // Bytes without a partition table are a raw disk only if the user declared that format.
    fs::write(bench.path("data"), "b".repeat(1024)).unwrap();
    assert_eq!(as_format("data", Format::Raw).await.unwrap().virtual_size, 1024);
}

#[tokio::test]
async fn import_stores_once() {
    let bench = Bench::new().await;
    let (cx, path) = (bench.cx(), bench.path("disk.raw"));
    let stored = import(&cx, &bench.host, &path, linux("mine", 2)).await.unwrap();
    assert_eq!(stored.record.virtual_size, SIZE);
    assert_eq!(stored.record.origin.generation, "V2");
    assert!(stored.disk().is_file());

    let error = import(&cx, &bench.host, &path, linux("mine", 2)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    let error = import(&cx, &bench.host, &path, linux("a/b", 2)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    let error = import(&cx, &bench.host, &path, linux("other", 3)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    let left: Vec<_> = fs::read_dir(cx.layout.sources()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn imported_windows_is_recorded_with_its_system_and_its_way_in() {
    let bench = Bench::new().await;
    let (cx, path) = (bench.cx(), bench.path("disk.raw"));
    for (name, first_contact) in [
        ("sealed", FirstContact::Unattend),
        ("machine", FirstContact::Specialized(LoginFile("/etc/login".into()))),
    ] {
        let importing = Importing { name, generation: 2, first_contact: first_contact.clone() };
        let stored = import(&cx, &bench.host, &path, importing).await.unwrap();
        let again = Store::open(&cx.layout).get(&stored.record.id).unwrap();
        assert_eq!(again.record.origin.os_type, "Windows");
        assert_eq!(again.record.origin.first_contact, first_contact);
    }
}

/// A qcow2 of 12 MiB in which every table entry refers to the same cluster: 4 TiB when copied.
fn cluster_bomb(path: &Path) {
    const CLUSTER: u64 = 2 << 20;
    const SIZE: u64 = 4 << 40;
    let file = fs::File::create(path).unwrap();
    let at = |cluster: u64| cluster * CLUSTER;
    let entries_of_l2 = CLUSTER / 8;
    let entries_of_l1 = SIZE / CLUSTER / entries_of_l2;
    let mut header = Vec::new();
    header.extend(b"QFI\xfb");
    header.extend(3_u32.to_be_bytes());
    header.extend([0; 12]);
    header.extend(21_u32.to_be_bytes());
    header.extend(SIZE.to_be_bytes());
    header.extend(0_u32.to_be_bytes());
    header.extend(u32::try_from(entries_of_l1).unwrap().to_be_bytes());
    header.extend(at(3).to_be_bytes());
    header.extend(at(1).to_be_bytes());
    header.extend(1_u32.to_be_bytes());
    header.extend([0; 4 + 8 + 3 * 8]);
    header.extend(4_u32.to_be_bytes());
    header.extend(104_u32.to_be_bytes());
    assert_eq!(header.len(), 104);
    file.write_all_at(&header, 0).unwrap();
    file.write_all_at(&at(2).to_be_bytes(), at(1)).unwrap();
    let table = |to: u64, count: u64| to.to_be_bytes().repeat(usize::try_from(count).unwrap());
    file.write_all_at(&table(at(4), entries_of_l1), at(3)).unwrap();
    file.write_all_at(&table(at(5), entries_of_l2), at(4)).unwrap();
    file.write_all_at(b"data", at(5)).unwrap();
    file.set_len(at(6)).unwrap();
}

#[tokio::test]
async fn crafted_image_is_rejected_by_the_size_of_its_copy() {
    let bench = Bench::new().await;
    cluster_bomb(&bench.path("bomb.qcow2"));
    let facts = bench.check("bomb.qcow2").await.unwrap();
    assert_eq!(facts.virtual_size, 4 << 40);
    let cx = bench.cx();
    let error =
        import(&cx, &bench.host, &bench.path("bomb.qcow2"), linux("bomb", 2)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::DiskFull, "{error}");
    assert!(error.message.contains("about 4.0 TiB is needed"), "{error}");
}
