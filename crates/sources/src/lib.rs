//! The inputs of a build: source images, and the scripts and files that a template names by
//! address.
//!
//! ```text
//! sources/<digest>/      disk.qcow2  vars.qcow2 (UEFI)  source.json
//! sources/entries/<key>.json   which of them an entry of the catalogue was, and when
//! sources/.work-<uuid>/  being made
//! ```
//!
//! Invariants: a source appears by one rename, is named by the SHA-256 of its disk and never
//! changes; its disk is a standalone qcow2; content from outside is checked before it is added.
//!
//! This crate knows the catalogue, publishers' checksums, bootstraps and downloads with their
//! limits. It does not know nodes, or how a build uses a source.

mod bootstrap;
mod catalogue;
mod data;
mod facts;
pub mod fetch;
mod given;
mod import;
mod published;
mod scripts;
mod source_cache;
mod windows_iso;
mod work;

use std::{
    io,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use images::{
    error::{Coded, Error, Result, io_fault},
    first_contact::FirstContact,
    image_file::{place::link_or_copy, verified::Verified},
    in_use::Hold,
    layout::Layout,
    ledger::Ledger,
    lock::Lock,
    run_context::RunContext,
    store::StoredImage,
};
use serde::{Deserialize, Serialize};
use vm::{Backend, Host, may_wait, off_runtime};

pub use self::source_cache::{digests, evict};
use self::{
    catalogue::{Bootstrap, Listing, Origin, Pledge, UrlImage},
    source_cache::Named,
};
pub use self::{
    catalogue::{Catalogue, Listed, Plan, ResolvedEntry, is_newer},
    data::DataSource,
    facts::{SourceProperties, entry, facts},
    import::{ImageFacts, Importing, check_importable, convert_in, import},
};

/// The name of a disk in its folder.
const DISK: &str = "disk.qcow2";

/// A source image in the source cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceImage {
    /// SHA-256 of `disk`.
    pub digest: String,
    /// A read-only qcow2 as the base of overlays.
    pub disk: PathBuf,
    /// The firmware variables as a qcow2, for UEFI.
    pub vars: Option<PathBuf>,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
    /// 1 boots with BIOS, 2 with UEFI.
    pub generation: u8,
    /// `Linux` or `Windows`.
    pub os_type: String,
    /// `x64`.
    pub architecture: String,
    /// The URN with its concrete version, or an image's id with its version.
    pub exact_version: String,
    /// The URN as it was resolved, or an image's id.
    pub urn: String,
    /// How the build user gets into a machine of the image.
    #[serde(default)]
    pub first_contact: FirstContact,
    /// Its data disks, by LUN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataSource>,
    /// Protects it from eviction.
    #[serde(skip)]
    pub hold: Hold,
}

impl SourceImage {
    /// The system of its guests.
    pub fn os(&self) -> vm::OsType {
        vm::OsType::of_name(&self.os_type).unwrap_or_default()
    }

    /// The version alone. `None` for a managed image, whose id ends with its name.
    pub fn version(&self) -> Option<&str> {
        let mut parts = self.exact_version.rsplit([':', '/']);
        let (last, before) = (parts.next()?, parts.next()?);
        let is_id = self.exact_version.starts_with('/');
        (!is_id || before.eq_ignore_ascii_case("versions")).then_some(last)
    }
}

/// What it takes to make an image on this host.
#[derive(Clone, Copy)]
pub struct Workshop<'a> {
    pub host: &'a Host,
    /// Starts the machine that installs a system.
    pub backend: &'a dyn Backend,
    /// Records that machine before it exists.
    pub ledger: &'a Ledger,
    /// The folder of the run, which is released with it.
    pub run_dir: &'a Path,
    /// The run's logs, which stay.
    pub log_dir: &'a Path,
}

/// Verifies the image if it is in the source cache; fetches or creates it otherwise. Of two
/// concurrent calls for the same image, one works and the other waits. If the publisher's address
/// serves a newer image, that one is fetched.
///
/// # Errors
/// `SourceUnavailable`, `ChecksumMismatch`, `BadImage`, `HostNotReady`, `DiskFull`, `Canceled`.
pub async fn obtain(
    cx: &RunContext,
    workshop: Workshop<'_>,
    entry: &ResolvedEntry,
) -> Result<SourceImage> {
    if let Some(image) = current(cx, entry).await? {
        return Ok(image);
    }
    let _lock = lock(cx, &entry.key()).await?;
    match current(cx, entry).await? {
        Some(image) => Ok(image),
        None => make(cx, workshop, entry).await,
    }
}

/// The image in the source cache, unless its publisher has a newer one. An unreachable publisher
/// does not stop a build that can use the cached image.
async fn current(cx: &RunContext, entry: &ResolvedEntry) -> Result<Option<SourceImage>> {
    let found = source_cache::find(cx, &entry.key(), entry.named()).await?;
    let (Some(image), Some((url, listing))) = (&found, rolling(entry)) else {
        return Ok(found);
    };
    match published::look_up(cx, url, listing).await {
        Ok(now)
            if may_wait(|| source_cache::published(&cx.layout, &entry.key())).as_deref()
                == Some(now.checksum.text()) =>
        {
            Ok(found)
        }
        Ok(now) => {
            let (old, new) = (&image.exact_version, &now.version);
            cx.events.note(format!("{} has a new version: {new} instead of {old}", entry.name));
            Ok(None)
        }
        Err(error) if error.code == ErrorCode::Canceled => Err(error),
        Err(error) => {
            cx.events.warn(format!(
                "whether there is a newer {} is not known ({error}); {} is used",
                entry.name, image.exact_version
            ));
            Ok(found)
        }
    }
}

/// The checksum file of an address with changing content.
fn rolling(entry: &ResolvedEntry) -> Option<(&UrlImage, &Listing)> {
    match &entry.origin {
        Origin::Url(image) => match &image.pledge {
            Pledge::Listed(listing) if listing.rolling.is_some() => Some((image, listing)),
            Pledge::Listed(_) | Pledge::Given(_) => None,
        },
        Origin::Bootstrap(_) | Origin::File(_) => None,
    }
}

/// The image if it is in the source cache and unchanged since the last verification. Fetches
/// nothing.
pub fn present(cx: &RunContext, entry: &ResolvedEntry) -> Result<Option<SourceImage>> {
    Ok(source_cache::glance(&cx.layout, &entry.key(), entry.named()))
}

/// Adds an image of the store to the source cache, with its data disks.
///
/// # Errors
/// `BadImage`, `HostNotReady`, `DiskFull`, `Canceled`.
pub async fn add_stored(cx: &RunContext, host: &Host, stored: &StoredImage) -> Result<SourceImage> {
    let image = add_system_disk(cx, host, stored).await?;
    Ok(SourceImage { data: data::add_stored(cx, host, stored).await?, ..image })
}

async fn add_system_disk(
    cx: &RunContext,
    host: &Host,
    stored: &StoredImage,
) -> Result<SourceImage> {
    let record = &stored.record;
    let version = record.version.map(|version| version.to_string());
    let exact_version = match &version {
        // An id with `latest` in it stands for the resolved version.
        Some(version) if !record.id.ends_with(&format!("/{version}")) => {
            format!("{}/versions/{version}", record.id)
        }
        _ => record.id.clone(),
    };
    let named = Named {
        urn: record.id.clone(),
        exact_version,
        generation: if record.origin.generation == "V1" { 1 } else { 2 },
        os: record.origin.os(),
        architecture: record.origin.architecture.clone(),
        first_contact: record.origin.first_contact.clone(),
    };
    let _lock = lock(cx, &record.digest).await?;
    if let Some(image) = source_cache::load_own(cx, &record.digest, &named).await? {
        return Ok(image);
    }
    let work = source_cache::work_folder(cx)?;
    let verified = Verified::new(&cx.layout);
    let (from, to, cancel) = (stored.disk(), work.path().join(DISK), cx.cancel.clone());
    off_runtime(move || link_or_copy(&verified, &from, &to, &cancel))
        .await
        .map_err(|e| io_fault(e, ErrorCode::BadImage, format!("read {}", record.id)))?;
    let image = source_cache::admit_own(cx, host, work, &named).await?;
    if image.digest == record.digest {
        return Ok(image);
    }
    source_cache::remove(&cx.layout, &image.digest);
    Err(Error::new(ErrorCode::BadImage, format!("{} has changed since it was stored", record.id))
        .hint("remove it and build or import it again"))
}

/// Removes the work folders of killed processes and returns how many.
///
/// # Errors
/// The folder of sources cannot be read, or a work folder cannot be removed.
pub async fn sweep(layout: &Layout) -> io::Result<usize> {
    work::sweep(layout).await
}

async fn lock(cx: &RunContext, key: &str) -> Result<Lock> {
    let path = cx.layout.locks().join(format!("source-{key}.lock"));
    let waiting = || "cannot lock the source image".to_owned();
    if let Some(lock) = Lock::try_take(&path).code(ErrorCode::InternalError, waiting)? {
        return Ok(lock);
    }
    cx.events.note("waiting for another goldsmith that prepares the same source image");
    let _waiting = cx.events.wait("another goldsmith's source image");
    tokio::select! {
        lock = Lock::take(path, cx.time_left()) => lock.code(ErrorCode::InternalError, waiting),
        () = cx.cancel.cancelled() => Err(canceled()),
    }
}

async fn make(
    cx: &RunContext,
    workshop: Workshop<'_>,
    entry: &ResolvedEntry,
) -> Result<SourceImage> {
    let host = workshop.host;
    let work = source_cache::work_folder(cx)?;
    let made = match &entry.origin {
        Origin::Bootstrap(Bootstrap::Debian(recipe)) => {
            let made = bootstrap::make(cx, host, entry, recipe, work.path()).await;
            made.map(|version| (version, None))
        }
        Origin::Bootstrap(Bootstrap::WindowsIso(recipe)) => {
            let made = windows_iso::make(cx, workshop, entry, recipe, work.path());
            Box::pin(made).await.map(|version| (version, None))
        }
        Origin::Url(image) => given::download(cx, host, image, work.path()).await,
        Origin::File(image) => {
            given::take(cx, host, image, work.path()).await.map(|()| (image.version.clone(), None))
        }
    };
    let (version, checksum) = match made {
        Ok(made) => made,
        Err(error) => {
            if let Err(e) = work.remove().await {
                cx.events.warn(e.to_string());
            }
            return Err(error);
        }
    };
    let named = Named { exact_version: entry.urn_of(&version), ..entry.named() };
    let image = source_cache::admit(cx, host, work, &named).await?;
    may_wait(|| source_cache::record(&cx.layout, &entry.key(), &image, checksum))?;
    Ok(image)
}

fn canceled() -> Error {
    Error::new(ErrorCode::Canceled, "preparing the source image was canceled")
}

/// Classifies the failure of a program that works on an image.
fn program_fault(error: vm::proc::Error, otherwise: ErrorCode, what: &str) -> Error {
    use vm::proc::Error as Proc;
    match error {
        Proc::Canceled { .. } => canceled(),
        Proc::NotFound { program } => {
            Error::new(ErrorCode::HostNotReady, format!("{program} is not installed"))
                .hint("goldsmith doctor says what to install")
        }
        Proc::Failed { stderr_tail, program, .. } => {
            let full = stderr_tail.iter().any(|line| line.contains("No space left on device"));
            if full {
                return Error::new(ErrorCode::DiskFull, format!("{what}: the disk is full"))
                    .hint(images::error::NO_ROOM);
            }
            Error::new(otherwise, format!("{what}: {program} failed")).details(stderr_tail)
        }
        error @ (Proc::TimedOut { .. } | Proc::Io { .. }) => {
            Error::new(otherwise, format!("{what}: {error}")).caused_by(error)
        }
    }
}

#[cfg(test)]
mod tests;
