//! The source cache: its images, and how an image is added.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use images::{
    absent::entries,
    digest::Digest,
    error::{Error, Result, io_fault},
    first_contact::FirstContact,
    image_file::{
        artifact::write_json,
        digest::{self, Stamp},
        verified,
    },
    in_use::{self, Hold, Kind, hold},
    layout::Layout,
    run_context::RunContext,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vm::{Host, OsType, disk, host::UefiFirmware, may_wait};

use super::{DISK, SourceImage, program_fault};
use crate::work::WorkFolder;

const VARS: &str = "vars.qcow2";
const JSON: &str = "source.json";
const FORMAT: u32 = 1;
const VERIFY: &str = "Verify source image";

/// The metadata of an image beside its content.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) urn: String,
    pub(super) exact_version: String,
    pub(super) generation: u8,
    pub(super) os: OsType,
    pub(super) architecture: String,
    pub(super) first_contact: FirstContact,
}

/// `source.json`: the description of the content.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    format: u32,
    /// While the disk has this stamp, its digest is valid.
    stamp: Stamp,
    created: Timestamp,
    /// Sparse digest of the UEFI variables beside the disk; missing in images of an earlier
    /// goldsmith.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vars: Option<String>,
    /// With the names of its first origin, and paths relative to its folder.
    image: SourceImage,
}

/// `entries/<key>.json`: the image of a catalogue entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    digest: String,
    urn: String,
    exact_version: String,
    made: Timestamp,
    /// The checksum from the publisher's file at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    published: Option<String>,
}

pub(super) fn work_folder(cx: &RunContext) -> Result<WorkFolder> {
    WorkFolder::make(&cx.layout).map_err(|e| fault(e, &cx.layout))
}

fn fault(error: io::Error, layout: &Layout) -> Error {
    let doing = format!("write to {}", layout.sources().display());
    io_fault(error, ErrorCode::InternalError, doing)
}

fn row_file(layout: &Layout, entry: &str) -> PathBuf {
    layout.sources().join("entries").join(format!("{entry}.json"))
}

fn row(layout: &Layout, entry: &str) -> Option<Row> {
    serde_json::from_slice(&fs::read(row_file(layout, entry)).ok()?).ok()
}

/// The version of the entry's image when it was created, if that image is in the cache.
pub(super) fn recorded_version(layout: &Layout, entry: &str) -> Option<String> {
    let row = row(layout, entry)?;
    content(layout, &row.digest)?;
    row.exact_version.rsplit(':').next().map(str::to_owned)
}

/// The publisher's checksum of the entry's image, if it came from the publisher's file.
pub(super) fn published(layout: &Layout, entry: &str) -> Option<String> {
    row(layout, entry)?.published
}

/// Records which image belongs to the entry.
pub(super) fn record(
    layout: &Layout,
    entry: &str,
    image: &SourceImage,
    published: Option<String>,
) -> Result<()> {
    let row = Row {
        published,
        digest: image.digest.clone(),
        urn: image.urn.clone(),
        exact_version: image.exact_version.clone(),
        made: Timestamp::now(),
    };
    let path = row_file(layout, entry);
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).and_then(|()| write_json(&path, &row)).map_err(|e| fault(e, layout))
}

fn content(layout: &Layout, digest: &str) -> Option<Content> {
    let path = layout.sources().join(digest).join(JSON);
    let content: Content = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (content.format == FORMAT && content.image.digest == digest).then_some(content)
}

fn is_unchanged(layout: &Layout, content: &Content) -> bool {
    let disk = layout.sources().join(&content.image.digest).join(DISK);
    Stamp::at(&disk).is_ok_and(|stamp| stamp == content.stamp)
}

/// An image that boots with UEFI needs variables. An earlier origin of the same disk may not have
/// had them.
fn has_vars(layout: &Layout, digest: &str, names: &Named) -> bool {
    names.generation != 2 || layout.sources().join(digest).join(VARS).is_file()
}

/// The image of an entry, without reading or verifying it.
pub(super) fn glance(layout: &Layout, entry: &str, names: Named) -> Option<SourceImage> {
    let row = row(layout, entry)?;
    let content = content(layout, &row.digest)?;
    let names = Named { exact_version: row.exact_version.clone(), ..names };
    let usable = is_unchanged(layout, &content) && has_vars(layout, &row.digest, &names);
    usable.then(|| named(layout, &content, &names))
}

/// The image of an entry, verified. `None` if it is missing or has changed.
pub(super) async fn find(
    cx: &RunContext,
    entry: &str,
    names: Named,
) -> Result<Option<SourceImage>> {
    let Some(row) = may_wait(|| row(&cx.layout, entry)) else {
        return Ok(None);
    };
    load(cx, &row.digest, &Named { exact_version: row.exact_version, ..names }).await
}

/// [`load`] for the content of an image of the store. An image that only other parts of the cache
/// have brought is as if it were missing.
pub(super) async fn load_own(
    cx: &RunContext,
    digest: &str,
    named: &Named,
) -> Result<Option<SourceImage>> {
    match may_wait(|| cx.partition.has(&cx.layout, Kind::Source, digest)) {
        true => load(cx, digest, named).await,
        false => Ok(None),
    }
}

/// [`admit`] for the content of an image of the store.
pub(super) async fn admit_own(
    cx: &RunContext,
    host: &Host,
    work: WorkFolder,
    names: &Named,
) -> Result<SourceImage> {
    let image = admit(cx, host, work, names).await?;
    may_wait(|| cx.partition.add(&cx.layout, Kind::Source, &image.digest))
        .map_err(|e| fault(e, &cx.layout))?;
    Ok(image)
}

/// The image with that digest, under the given names, verified. A damaged image is removed.
pub(super) async fn load(
    cx: &RunContext,
    digest: &str,
    names: &Named,
) -> Result<Option<SourceImage>> {
    let layout = &cx.layout;
    // Locked before the check, so that no process evicts it afterwards.
    let hold = hold(layout, Kind::Source, digest).await.map_err(|e| fault(e, layout))?;
    let Some(mut content) = may_wait(|| content(layout, digest)) else {
        return Ok(None);
    };
    let disk = layout.sources().join(digest).join(DISK);
    if !may_wait(|| has_vars(layout, digest, names)) || !is_intact(cx, &disk, &content).await? {
        tracing::error!(%digest, "a source image is damaged");
        cx.events.warn(format!("the source image {digest} is damaged and is made again"));
        drop(hold);
        remove(layout, digest);
        return Ok(None);
    }
    if !is_unchanged(layout, &content) {
        content.stamp = Stamp::at(&disk).map_err(|e| fault(e, layout))?;
        write_json(&disk.with_file_name(JSON), &content).map_err(|e| fault(e, layout))?;
    }
    Ok(Some(SourceImage { hold, ..named(layout, &content, names) }))
}

async fn is_intact(cx: &RunContext, disk: &Path, content: &Content) -> Result<bool> {
    let digest = Digest::Plain(content.image.digest.clone());
    if !verified::check(cx, disk, &digest, VERIFY).await? {
        return Ok(false);
    }
    let Some(vars) = content.vars.clone().map(Digest::Sparse) else { return Ok(true) };
    verified::check(cx, &disk.with_file_name(VARS), &vars, VERIFY).await
}

fn named(layout: &Layout, content: &Content, names: &Named) -> SourceImage {
    let image = &content.image;
    let folder = layout.sources().join(&image.digest);
    SourceImage {
        disk: folder.join(DISK),
        vars: (names.generation == 2).then(|| folder.join(VARS)),
        ..source_image(image.digest.clone(), image.virtual_size, names)
    }
}

/// With paths relative to its folder.
fn source_image(digest: String, virtual_size: u64, names: &Named) -> SourceImage {
    SourceImage {
        digest,
        disk: DISK.into(),
        vars: Some(VARS.into()),
        virtual_size,
        generation: names.generation,
        os_type: names.os.to_string(),
        architecture: names.architecture.clone(),
        exact_version: names.exact_version.clone(),
        urn: names.urn.clone(),
        first_contact: names.first_contact.clone(),
        data: Vec::new(),
        hold: Hold::default(),
    }
}

/// Adds the finished `disk.qcow2` of a work folder to the cache.
pub(super) async fn admit(
    cx: &RunContext,
    host: &Host,
    work: WorkFolder,
    names: &Named,
) -> Result<SourceImage> {
    let disk = work.path().join(DISK);
    let info = disk::info(host, &disk, Some("qcow2"))
        .await
        .map_err(|e| program_fault(e, ErrorCode::BadImage, "look at the source image"))?;
    let vars = match &host.uefi {
        Some(firmware) => Some(make_vars(cx, host, firmware, &work.path().join(VARS)).await?),
        None if names.generation == 2 => {
            let text = "the source image boots by UEFI, and there is no firmware for it";
            return Err(Error::new(ErrorCode::HostNotReady, text).hint("apt-get install ovmf"));
        }
        None => None,
    };
    let layout = &cx.layout;
    for file in std::iter::once(&disk).chain(&vars) {
        may_wait(|| fs::set_permissions(file, fs::Permissions::from_mode(0o400)))
            .map_err(|e| fault(e, layout))?;
    }
    let digest = verified::measure(cx, &disk, digest::Kind::Plain, VERIFY).await?.hex().to_owned();
    let vars = match &vars {
        Some(vars) => Some(verified::measure(cx, vars, digest::Kind::Sparse, VERIFY).await?),
        None => None,
    };
    let content = Content {
        format: FORMAT,
        stamp: Stamp::at(&disk).map_err(|e| fault(e, layout))?,
        created: Timestamp::now(),
        vars: vars.map(|vars| vars.hex().to_owned()),
        image: source_image(digest.clone(), info.virtual_size, names),
    };
    let folder = layout.sources().join(&digest);
    let json = work.path().join(JSON);
    may_wait(|| write_json(&json, &content).and_then(|()| work.rename(&folder)))
        .map_err(|e| fault(e, layout))?;
    match load(cx, &digest, names).await? {
        Some(image) => Ok(image),
        None => Err(Error::new(
            ErrorCode::InternalError,
            format!("the source image {digest} went away while it was taken in"),
        )),
    }
}

async fn make_vars(
    cx: &RunContext,
    host: &Host,
    firmware: &UefiFirmware,
    to: &Path,
) -> Result<PathBuf> {
    let job =
        disk::Convert { src: &firmware.vars, src_format: "raw", dst: to, dst_format: "qcow2" };
    disk::convert(host, job, |_| (), &cx.cancel)
        .await
        .map_err(|e| program_fault(e, ErrorCode::HostNotReady, "copy the firmware's variables"))?;
    Ok(to.to_owned())
}

/// Every image in the cache with the digests of its files.
///
/// # Errors
/// The folder of sources cannot be read.
pub fn digests(layout: &Layout) -> io::Result<Vec<(String, PathBuf, Digest)>> {
    let mut all = Vec::new();
    for folder in entries(&layout.sources())? {
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(content) = content(layout, name) else { continue };
        all.push((name.to_owned(), folder.join(DISK), Digest::Plain(name.to_owned())));
        let vars =
            content.vars.map(|vars| (name.to_owned(), folder.join(VARS), Digest::Sparse(vars)));
        all.extend(vars);
    }
    Ok(all)
}

/// Removes an image that is not in use and that `is_free` approves. `is_free` is called when no
/// process can begin to use the image any more. Returns `false` if the image stays. This may take
/// long; call it off the runtime.
///
/// # Errors
/// Its lock cannot be taken, or `is_free` fails.
pub fn evict(
    layout: &Layout,
    digest: &str,
    is_free: impl FnOnce() -> io::Result<bool>,
) -> io::Result<bool> {
    in_use::evict(layout, Kind::Source, digest, |_| {
        let is_free = is_free()?;
        if is_free {
            remove(layout, digest);
        }
        Ok(is_free)
    })
}

/// Removes an image. Overlays on it become unusable.
pub(super) fn remove(layout: &Layout, digest: &str) {
    may_wait(|| {
        let folder = layout.sources().join(digest);
        // First the name, atomically; then the content.
        let gone = layout.sources().join(format!(".work-{}", uuid::Uuid::now_v7()));
        match fs::rename(&folder, &gone) {
            Ok(()) => {
                let _ = fs::remove_dir_all(gone);
            }
            Err(e) => tracing::debug!(error = %e, %digest, "no source image to remove"),
        }
    })
}
