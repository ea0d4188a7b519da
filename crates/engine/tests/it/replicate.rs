//! Versions in regions. Folders stand for the regions; the disks and qemu-img are real.

mod pull;

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use images::{
    config::Config,
    digest::Key,
    event::{Event, Events},
    image_file::artifact::DataDisk,
    run_context::RunContext,
    store::{Labels, Numbering, Origin, Payload, Store, StoredImage, address::Address},
};
use regions::{CHUNK_BYTES, Copied, Region, Replication, Request, status};
use tokio_util::sync::CancellationToken;

use crate::disks::{MIB, Setting, files, noise, setting};

const DEFINITION: &str =
    "/subscriptions/S/resourceGroups/Rg/providers/Microsoft.Compute/galleries/gal/images/def";
const REGIONS: [&str; 3] = ["eastus", "westeurope", "japaneast"];

/// A setting whose data folder has a folder beside it for each region.
async fn with_regions() -> Setting {
    let s = setting().await;
    fs::create_dir_all(s.cx.layout.data()).unwrap();
    let toml: String = REGIONS
        .iter()
        .map(|name| {
            format!("[[region]]\nname = \"{name}\"\nplace = \"{}\"\n", s.path(name).display())
        })
        .collect();
    fs::write(s.cx.layout.config(), toml).unwrap();
    s
}

impl Setting {
    fn config(&self) -> Config {
        Config::load(&self.cx.layout).unwrap()
    }

    fn region(&self, name: &str) -> Region {
        Region::open(&self.cx.layout, self.config().region(name).unwrap()).unwrap()
    }

    /// Stores the raw content as a version.
    async fn version(&self, raw: &Path, number: &str) -> StoredImage {
        self.version_with(raw, number, Vec::new()).await
    }

    /// The same with data disks.
    async fn version_with(&self, raw: &Path, number: &str, data: Vec<DataDisk>) -> StoredImage {
        let disk = self.path(&format!("{number}.qcow2"));
        // A different file than a pull makes of the same content.
        let convert = ["convert", "-f", "raw", "-O", "qcow2", "-o", "lazy_refcounts=on"];
        self.qemu_img(&convert, &[raw, &disk]).await;
        let digest = images::image_file::digest::sha256(&self.cx, &disk, "hash").await.unwrap();
        let payload = Payload {
            digest,
            virtual_size: fs::metadata(raw).unwrap().len(),
            disk,
            data,
            origin: Origin {
                run_id: Some(format!("run-{number}")),
                generation: "V1".to_owned(),
                ..Origin::default()
            },
            labels: Labels::default(),
        };
        let numbering = Numbering::Exact(number.parse().unwrap());
        let definition = Address::parse(DEFINITION).unwrap();
        let store = Store::open(&self.cx.layout);
        store.publish_version(&self.cx, &definition, numbering, payload).await.unwrap()
    }

    async fn copy(&self, image: &StoredImage, regions: &[&str]) -> Replication {
        self.copy_with(&self.cx, image, regions).await.unwrap()
    }

    async fn copy_with(
        &self,
        cx: &RunContext,
        image: &StoredImage,
        regions: &[&str],
    ) -> Result<Replication, images::error::Error> {
        let regions: Vec<String> = regions.iter().map(|name| (*name).to_owned()).collect();
        let request = Request { image, regions: &regions };
        regions::replicate(cx, &self.host, &self.config(), request).await
    }

    async fn states(&self, image: &StoredImage, regions: &[&str]) -> Vec<String> {
        let regions: Vec<String> = regions.iter().map(|name| (*name).to_owned()).collect();
        let config = self.config();
        let states = status::of(&self.cx.layout, &config, &image.record.id, &regions).await;
        states.iter().map(|state| format!("{} {}", state.name(), state.progress())).collect()
    }

    /// The pieces in a region, by name.
    fn pieces(&self, region: &str) -> Vec<PathBuf> {
        let mut pieces = files(&self.path(region).join("chunks"));
        pieces.sort();
        pieces
    }

    fn manifests(&self, region: &str) -> usize {
        files(&self.path(region).join("manifests")).len()
    }

    /// Notes of failed copies.
    fn notes(&self, region: &str) -> usize {
        let notes = files(&self.cx.layout.regions().join(region));
        notes.iter().filter(|path| path.to_string_lossy().contains("open-")).count()
    }
}

/// A disk with scattered noise and large holes.
fn disk(path: &Path, size: u64) -> File {
    let file =
        File::options().create(true).truncate(true).read(true).write(true).open(path).unwrap();
    file.set_len(size).unwrap();
    file.write_all_at(&noise(6 * MIB, 1), MIB / 2).unwrap();
    file.write_all_at(&noise(10 * MIB, 2), size / 2).unwrap();
    // Written zeros are not data either.
    file.write_all_at(&vec![0; 2 << 20], size / 4).unwrap();
    file.write_all_at(b"the end", size - 7).unwrap();
    file
}

fn copied(outcome: &Replication) -> Vec<Copied> {
    outcome.regions.iter().map(|(_, copied)| *copied.as_ref().unwrap()).collect()
}

#[tokio::test]
async fn three_regions_share_one_reading() {
    let s = with_regions().await;
    let raw = s.path("raw");
    // Not a whole number of pieces.
    disk(&raw, 64 * MIB + 512);
    let image = s.version(&raw, "1.0.0").await;
    assert_eq!(s.states(&image, &REGIONS).await, ["Unknown 0"; 3]);

    let outcome = s.copy(&image, &REGIONS).await;
    let stored = fs::metadata(image.disk()).unwrap().len();
    assert!(outcome.read_bytes >= 16 * MIB, "{outcome:?}");
    assert!(outcome.read_bytes <= stored, "each byte once at most: {outcome:?}, {stored}");
    let each = copied(&outcome);
    assert_eq!(each, [each[0]; 3]);
    assert_eq!(each[0].chunks, each[0].moved_chunks);
    assert!(each[0].chunks <= 16 * MIB / CHUNK_BYTES + 4, "zeros are not stored: {each:?}");
    for region in REGIONS {
        assert_eq!(s.pieces(region), s.pieces(REGIONS[0]));
        assert_eq!((s.manifests(region), s.notes(region)), (1, 0));
    }
    assert_eq!(s.states(&image, &REGIONS).await, ["Completed 100"; 3]);

    let again = s.copy(&image, &REGIONS).await;
    assert_eq!(again.read_bytes, 0, "nothing is read for what is there");
    assert!(copied(&again).iter().all(|copied| copied.moved_bytes == 0));

    let other = s.version(&raw, "1.0.1").await;
    let alone = s.copy(&other, &REGIONS[..1]).await;
    assert_eq!(alone.read_bytes, outcome.read_bytes, "as much for one region as for three");
    assert_eq!(copied(&alone)[0].moved_chunks, 0);
}

#[tokio::test]
async fn next_version_transfers_only_changes() {
    let s = with_regions().await;
    let raw = s.path("raw");
    let file = disk(&raw, 64 * MIB);
    let first = copied(&s.copy(&s.version(&raw, "1.0.0").await, &REGIONS[..1]).await)[0];
    // Two files of 160 KiB, 2 % of 16 MiB: one in the data, one in a hole.
    file.write_all_at(&noise(160 << 10, 7), 3 * MIB + 4096).unwrap();
    file.write_all_at(&noise(160 << 10, 8), 20 * MIB + 4096).unwrap();
    let second = copied(&s.copy(&s.version(&raw, "1.0.1").await, &REGIONS[..1]).await)[0];
    assert!(second.moved_bytes * 10 <= first.moved_bytes, "{first:?} {second:?}");
    assert!(second.moved_bytes >= 320 << 10, "{second:?}");
}

#[tokio::test]
async fn failed_region_does_not_stop_the_others_and_is_copied_later() {
    let s = with_regions().await;
    let (raw, mount) = (s.path("raw"), s.path("mount"));
    disk(&raw, 32 * MIB);
    let image = s.version(&raw, "1.0.0").await;
    // A disk that is not mounted: the place's parent folder does not exist.
    let toml = fs::read_to_string(s.cx.layout.config()).unwrap();
    let missing = mount.join("japaneast").display().to_string();
    let toml = toml.replace(&s.path("japaneast").display().to_string(), &missing);
    fs::write(s.cx.layout.config(), toml).unwrap();

    let outcome = s.copy(&image, &REGIONS).await;
    let failed: Vec<_> = outcome.regions.iter().filter(|(_, result)| result.is_err()).collect();
    assert_eq!(failed.len(), 1);
    let error = failed[0].1.as_ref().unwrap_err();
    assert!(error.message.contains("region japaneast"), "{}", error.message);
    assert!(!mount.exists());
    let states = s.states(&image, &REGIONS).await;
    assert_eq!(states, ["Completed 100", "Completed 100", "Failed 0"]);

    fs::create_dir(&mount).unwrap();
    let again = s.copy(&image, &REGIONS).await;
    let moved: Vec<_> = copied(&again).iter().map(|copied| copied.moved_chunks > 0).collect();
    assert_eq!(moved, [false, false, true]);
    assert_eq!(s.states(&image, &REGIONS).await, ["Completed 100"; 3]);
}

/// Interrupts a copy in the middle: more than the queue holds was read, so some pieces have
/// arrived.
async fn cut_off(s: &Setting, image: &StoredImage, region: &str) {
    cut_off_when(s, image, region, |done, _| done >= 12 * MIB).await;
}

/// The same, once a given share of the total was read.
async fn cut_off_when(
    s: &Setting,
    image: &StoredImage,
    region: &str,
    is_time: impl Fn(u64, u64) -> bool,
) {
    let (events, mut received) = Events::channel();
    let cx = RunContext::new(s.cx.layout.clone(), events, CancellationToken::new());
    let cancel = cx.cancel.clone();
    let canceling = async {
        while let Some(event) = received.recv().await {
            if let Event::Progress { done, total: Some(total), .. } = event
                && is_time(done, total)
            {
                cancel.cancel();
                return;
            }
        }
    };
    let names = [region];
    let (result, ()) = tokio::join!(s.copy_with(&cx, image, &names), canceling);
    assert_eq!(result.unwrap_err().code, ErrorCode::Canceled);
}

#[tokio::test]
async fn interrupted_copy_is_not_a_version_and_resumes() {
    let s = with_regions().await;
    let (raw, other) = (s.path("raw"), s.path("other"));
    disk(&raw, 64 * MIB);
    let image = s.version(&raw, "1.0.0").await;
    cut_off(&s, &image, "eastus").await;
    let left = s.pieces("eastus").len();
    assert!(left > 0 && s.manifests("eastus") == 0 && s.notes("eastus") == 1);
    assert_eq!(s.states(&image, &["eastus"]).await, ["Failed 0"]);

    // Another interrupted copy, which is not resumed.
    let file = disk(&other, 64 * MIB);
    file.write_all_at(&noise(20 * MIB, 9), 0).unwrap();
    cut_off(&s, &s.version(&other, "2.0.0").await, "eastus").await;

    let outcome = copied(&s.copy(&image, &["eastus"]).await)[0];
    assert!(outcome.moved_chunks < outcome.chunks, "it continues from there: {outcome:?}");
    assert_eq!((s.manifests("eastus"), s.notes("eastus")), (1, 0));
    assert_eq!(s.pieces("eastus").len() as u64, outcome.chunks, "what belongs to none is gone");
}

#[tokio::test]
async fn copy_canceled_before_the_last_write_is_incomplete() {
    let s = with_regions().await;
    let raw = s.path("raw");
    // So few pieces that all of them fit into the queue.
    let file = File::options().create_new(true).write(true).open(&raw).unwrap();
    file.set_len(16 * MIB).unwrap();
    file.write_all_at(&noise(4 * MIB, 1), MIB).unwrap();
    let image = s.version(&raw, "1.0.0").await;
    cut_off_when(&s, &image, "eastus", |done, total| done == total).await;
    assert_eq!(s.manifests("eastus"), 0);
    assert_eq!(s.states(&image, &["eastus"]).await, ["Failed 0"]);
    let again = copied(&s.copy(&image, &["eastus"]).await)[0];
    assert_eq!(s.pieces("eastus").len() as u64, again.chunks);
}

#[tokio::test]
async fn version_removed_during_its_copy_leaves_no_pieces() {
    let s = with_regions().await;
    let raw = s.path("raw");
    disk(&raw, 64 * MIB);
    let image = s.version(&raw, "1.0.0").await;
    cut_off(&s, &image, "eastus").await;
    assert!(!s.pieces("eastus").is_empty());
    let had = regions::forget(&s.cx.layout, &s.config(), &image.record.id).await.unwrap();
    assert!(had.is_empty(), "no copy was whole: {had:?}");
    assert!(s.pieces("eastus").is_empty() && s.notes("eastus") == 0);
}

#[tokio::test]
async fn failed_region_retains_received_pieces() {
    let s = with_regions().await;
    let raw = s.path("raw");
    disk(&raw, 64 * MIB);
    let image = s.version(&raw, "1.0.0").await;
    let whole = copied(&s.copy(&image, &["westeurope"]).await)[0];
    // A file is in the place of the last piece's folder.
    let last = s.pieces("westeurope").pop().unwrap();
    let in_the_way = s.path("eastus").join("chunks").join(last.iter().nth(1).unwrap());
    fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
    fs::write(&in_the_way, "").unwrap();
    let outcome = s.copy(&image, &["eastus"]).await;
    assert!(outcome.regions[0].1.is_err(), "{outcome:?}");
    assert_eq!((s.manifests("eastus"), s.notes("eastus")), (0, 1));
    assert_eq!(s.states(&image, &["eastus"]).await, ["Failed 0"]);

    fs::remove_file(&in_the_way).unwrap();
    let kept = s.pieces("eastus").len() as u64;
    assert!(kept > 0, "the pieces that arrived stay");
    let again = copied(&s.copy(&image, &["eastus"]).await)[0];
    assert_eq!(again.moved_chunks, whole.chunks - kept);
    assert_eq!((s.pieces("eastus").len() as u64, s.notes("eastus")), (whole.chunks, 0));
}

#[tokio::test]
async fn sweep_is_skipped_while_a_copy_is_in_progress() {
    let s = with_regions().await;
    let raw = s.path("raw");
    disk(&raw, 64 * MIB);
    let image = s.version(&raw, "1.0.0").await;
    let (events, mut received) = Events::channel();
    let cx = RunContext::new(s.cx.layout.clone(), events, CancellationToken::new());
    let sweeping = async {
        while let Some(event) = received.recv().await {
            if matches!(event, Event::Progress { .. }) {
                return regions::sweep(&s.region("eastus")).await.unwrap();
            }
        }
        panic!("the copy sent no event");
    };
    let names = ["eastus"];
    let (outcome, swept) = tokio::join!(s.copy_with(&cx, &image, &names), sweeping);
    assert_eq!(swept, None);
    let chunks = copied(&outcome.unwrap())[0].chunks;
    let swept = regions::sweep(&s.region("eastus")).await.unwrap().unwrap();
    assert_eq!((swept.manifests, swept.chunks as u64, swept.removed_chunks), (1, chunks, 0));
}

#[tokio::test]
async fn removed_version_removes_only_its_own_pieces() {
    let s = with_regions().await;
    let raw = s.path("raw");
    let file = disk(&raw, 64 * MIB);
    let first = s.version(&raw, "1.0.0").await;
    s.copy(&first, &REGIONS[..2]).await;
    let before = s.pieces("eastus");
    file.write_all_at(&noise(MIB, 7), 3 * MIB).unwrap();
    let second = s.version(&raw, "1.0.1").await;
    s.copy(&second, &REGIONS[..2]).await;
    // A leftover file of a killed writer.
    let torn = s.path("eastus").join("chunks").join("00");
    fs::create_dir_all(&torn).unwrap();
    fs::write(torn.join("x.zst#1"), "torn").unwrap();

    let had = regions::forget(&s.cx.layout, &s.config(), &second.record.id).await.unwrap();
    assert_eq!(had, REGIONS[..2]);
    assert_eq!(s.pieces("eastus"), before, "the first version's pieces, and no others");
    assert_eq!(s.manifests("eastus"), 1);
    Store::open(&s.cx.layout).remove(&first.record.id).unwrap();
    let place = s.config().region("eastus").unwrap().clone();
    let replica = regions::of_id(&s.cx.layout, &place, &first.record.id).await.unwrap().unwrap();
    regions::pull(&s.cx, &s.host, &replica).await.unwrap();

    regions::forget(&s.cx.layout, &s.config(), &first.record.id).await.unwrap();
    for region in &REGIONS[..2] {
        assert!(s.pieces(region).is_empty() && s.manifests(region) == 0);
    }
    let nowhere = regions::forget(&s.cx.layout, &s.config(), &first.record.id).await.unwrap();
    assert!(nowhere.is_empty());
}

#[tokio::test]
async fn unreadable_notes_and_folders_of_a_region_are_not_absent() {
    let s = with_regions().await;
    let raw = s.path("raw");
    disk(&raw, 32 * MIB);
    let image = s.version(&raw, "1.0.0").await;
    let endless = |path: &Path| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(path, path).unwrap();
    };
    // The note may record a copy that a crash of the host interrupted.
    let note = s.cx.layout.regions().join("eastus/open-1");
    endless(&note);
    let outcome = s.copy(&image, &REGIONS[..2]).await;
    let error = outcome.regions[0].1.as_ref().unwrap_err();
    assert!(error.message.contains(note.to_str().unwrap()), "{error}");
    assert!(outcome.regions[1].1.is_ok());
    fs::remove_file(note).unwrap();
    s.copy(&image, &REGIONS[..1]).await;

    // Garbage stays as long as the rest of the content is unknown.
    let garbage = s.path("eastus/chunks/00").join(format!("{}.zst", "0".repeat(64)));
    fs::create_dir_all(garbage.parent().unwrap()).unwrap();
    fs::write(&garbage, "x").unwrap();
    let notes = s.cx.layout.regions().join("eastus");
    fs::remove_dir_all(&notes).unwrap();
    fs::write(&notes, "no folder").unwrap();
    let error = regions::sweep(&s.region("eastus")).await.unwrap_err();
    assert!(error.message.contains(notes.to_str().unwrap()), "{error}");
    fs::remove_file(&notes).unwrap();
    let folder = s.path("eastus/chunks/zz");
    endless(&folder);
    assert!(regions::sweep(&s.region("eastus")).await.is_err());
    assert!(garbage.exists());
    fs::remove_file(folder).unwrap();
    let swept = regions::sweep(&s.region("eastus")).await.unwrap().unwrap();
    assert_eq!((swept.manifests, garbage.exists()), (1, false));
}

#[tokio::test]
async fn version_is_removed_from_one_region_only() {
    let s = with_regions().await;
    let raw = s.path("raw");
    disk(&raw, 32 * MIB);
    let image = s.version(&raw, "1.0.0").await;
    s.copy(&image, &REGIONS[..2]).await;
    let leaving = ["East US".to_owned(), "japaneast".to_owned()];
    let layout = &s.cx.layout;
    let had = regions::forget_in(layout, &s.config(), &image.record.id, &leaving).await.unwrap();
    assert_eq!(had, ["eastus"]);
    assert!(s.pieces("eastus").is_empty() && s.manifests("eastus") == 0 && s.notes("eastus") == 0);
    assert_eq!(s.states(&image, &REGIONS[..2]).await, ["Unknown 0", "Completed 100"]);
    let again = copied(&s.copy(&image, &REGIONS[..2]).await);
    assert!(again[0].moved_chunks > 0 && again[1].moved_chunks == 0, "{again:?}");
}

#[tokio::test]
async fn versions_are_removed_together_except_in_an_unreachable_region() {
    let s = with_regions().await;
    let raw = s.path("raw");
    disk(&raw, 64 * MIB);
    let (first, second) = (s.version(&raw, "1.0.0").await, s.version(&raw, "1.0.1").await);
    s.copy(&first, &REGIONS[..1]).await;
    s.copy(&second, &REGIONS[..2]).await;
    let has = async |region: &str, image: &StoredImage| {
        let place = s.config().region(region).unwrap().clone();
        regions::has(&s.cx.layout, &place, &image.record.id).await
    };
    assert!(has(REGIONS[0], &first).await.unwrap() && !has(REGIONS[1], &first).await.unwrap());

    // A file in place of the region's folder.
    let (place, aside) = (s.path(REGIONS[1]), s.path("aside"));
    fs::rename(&place, &aside).unwrap();
    fs::write(&place, "").unwrap();
    let error = has(REGIONS[1], &first).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::SourceUnavailable, "{error}");
    let forget = async |ids: &[&str]| regions::forget_all(&s.cx.layout, &s.config(), ids).await;
    let error = forget(&[&first.record.id, &second.record.id]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(
        error.message.contains("1.0.1 cannot be removed") && error.message.contains(REGIONS[1]),
        "{error}"
    );
    assert!(s.pieces(REGIONS[0]).is_empty() && s.manifests(REGIONS[0]) == 0, "asked all the same");
    assert_eq!(s.notes(REGIONS[0]), 0);
    // That region never had a copy of the first version.
    assert!(forget(&[&first.record.id]).await.unwrap().is_empty());

    fs::remove_file(&place).unwrap();
    fs::rename(&aside, &place).unwrap();
    assert_eq!(forget(&[&first.record.id, &second.record.id]).await.unwrap(), REGIONS[1..2]);
    assert!(s.pieces(REGIONS[1]).is_empty());
}

#[tokio::test]
async fn region_retains_its_version_of_a_number() {
    let s = with_regions().await;
    let raw = s.path("raw");
    let file = disk(&raw, 16 * MIB);
    let image = s.version(&raw, "1.0.0").await;
    s.copy(&image, &["eastus"]).await;
    Store::open(&s.cx.layout).remove(&image.record.id).unwrap();
    file.write_all_at(b"other", 0).unwrap();
    let outcome = s.copy(&s.version(&raw, "1.0.0").await, &["eastus"]).await;
    let error = outcome.regions[0].1.as_ref().unwrap_err();
    assert_eq!(error.code, ErrorCode::VersionConflict);
    assert!(Key::parse(&image.record.digest).is_some());
}
