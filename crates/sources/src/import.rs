//! Images from outside: checked before any other code reads them, then copied into a standalone
//! qcow2.
//!
//! An image's header can name other files (a backing file, a data file, extents). QEMU would open
//! them, and their content would end up in the copy. So the header is checked here first
//! ([`header`]), and only an image that consists of one file is passed to QEMU, with an explicit
//! format.

mod header;

use std::path::Path;

use api::ErrorCode;
use images::{
    error::{Error, Result},
    first_contact::FirstContact,
    format::Format,
    image_file::{digest::sha256, space},
    run_context::RunContext,
    store::{Labels, Numbering, Origin, Payload, Store, StoredImage, address::Address},
};
use vm::{Host, disk, may_wait};

use self::header::Header;
use super::{DISK, program_fault, source_cache};

/// Larger disks exist only in damaged or hostile headers.
const MAX_DISK: u64 = 64 << 40;

/// The properties of a valid image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// `qcow2`, `raw`, `vhd` or `vmdk`.
    pub format: String,
    /// Size of the disk that a guest sees, in bytes.
    pub virtual_size: u64,
}

impl ImageFacts {
    fn driver(&self) -> &'static str {
        Format::from_name(&self.format).unwrap_or(Format::Raw).driver()
    }
}

/// Checks an image from outside and detects its format.
///
/// # Errors
/// `NotFound`; `BadImage` if it is not exactly one readable disk image: backing files, data in
/// other files, encryption, unknown formats, damage.
pub async fn check_importable(host: &Host, path: &Path) -> Result<ImageFacts> {
    check(host, path, None).await
}

/// The same for an image with an expected format.
pub(super) async fn check(
    host: &Host,
    path: &Path,
    expected: Option<Format>,
) -> Result<ImageFacts> {
    let refuse = |why: String, hint: &str| {
        Error::new(ErrorCode::BadImage, format!("{} cannot be used: {why}", path.display()))
            .hint(hint)
    };
    let metadata = may_wait(|| std::fs::metadata(path)).map_err(|e| {
        Error::new(ErrorCode::NotFound, format!("{} cannot be read: {e}", path.display()))
            .caused_by(e)
    })?;
    if !metadata.is_file() {
        return Err(refuse("it is not a file".to_owned(), "name a disk image"));
    }
    let found = may_wait(|| Header::read(path))
        .map_err(|e| refuse(e.to_string(), "it must be readable"))?;
    let format = match (found.verdict(), expected) {
        // Any bytes can be a raw disk, if the user declared that format.
        (Ok(None), None | Some(Format::Raw)) if expected.is_some() || found.is_bootable_raw() => {
            Format::Raw
        }
        (Ok(None), Some(format)) => {
            return Err(refuse(format!("it is not a {format} image"), "give its true format"));
        }
        (Ok(None), None) => {
            return Err(refuse(
                "it is not a disk image of a known format".to_owned(),
                "known are qcow2, raw (with a partition table), vhd and vmdk; qemu-img convert makes one of others",
            ));
        }
        (Ok(Some(format)), expected) if expected.is_none_or(|expected| expected == format) => {
            format
        }
        (Ok(Some(format)), _) => {
            return Err(refuse(format!("it is a {format} image"), "give its true format"));
        }
        (Err(fault), _) => return Err(refuse(fault.why, fault.hint)),
    };
    let info = disk::info(host, path, Some(format.driver()))
        .await
        .map_err(|e| program_fault(e, ErrorCode::BadImage, &format!("read {}", path.display())))?;
    let copy = "qemu-img convert -O qcow2 makes a copy that stands alone";
    if !info.is_self_contained(path) {
        return Err(refuse("it needs other files".to_owned(), copy));
    }
    if info.encrypted {
        return Err(refuse("it is encrypted".to_owned(), "decrypt it first"));
    }
    if info.corrupt {
        return Err(refuse("it is marked as corrupt".to_owned(), "qemu-img check -r all"));
    }
    if info.virtual_size == 0 || info.virtual_size > MAX_DISK {
        let text = format!("its disk would have {} bytes", info.virtual_size);
        return Err(refuse(text, "the header is damaged"));
    }
    Ok(ImageFacts { format: format.name().to_owned(), virtual_size: info.virtual_size })
}

/// Copies a checked image to a new standalone qcow2.
///
/// # Errors
/// `DiskFull` before anything is written, by the size of the copy: a small file can refer to the
/// same clusters many times. `BadImage`.
pub async fn convert_in(
    cx: &RunContext,
    host: &Host,
    from: &Path,
    facts: &ImageFacts,
    to: &Path,
) -> Result<()> {
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    let need = disk::measure(host, from, facts.driver(), &cx.cancel, Some(disk::MAPPING))
        .await
        .map_err(|e| program_fault(e, ErrorCode::BadImage, &format!("measure {name}")))?;
    let dir = to.parent().unwrap_or(Path::new("."));
    space::check(need, space::free(dir)?, dir)?;
    let activity = cx.events.transfer(format!("Import {name}"));
    let report = |part: f64| {
        let done = (facts.virtual_size as f64 * part) as u64;
        activity.progress(done, Some(facts.virtual_size));
    };
    let job = disk::Convert { src: from, src_format: facts.driver(), dst: to, dst_format: "qcow2" };
    let copied = disk::convert(host, job, report, &cx.cancel).await;
    copied.map_err(|e| program_fault(e, ErrorCode::BadImage, &format!("copy {name}")))
}

/// What a user says of an image to import.
#[derive(Debug, Clone)]
pub struct Importing<'a> {
    /// The name of a new managed image, or the id of a new gallery version.
    pub name: &'a str,
    /// 1 boots with BIOS, 2 with UEFI.
    pub generation: u8,
    /// How the build user gets into a machine of the image, and thereby its system.
    pub first_contact: FirstContact,
}

/// Imports a user's image to the image store, as a managed image with that name.
///
/// # Errors
/// `InvalidArgument`, `Conflict`, `NotFound`, `BadImage`, `HostNotReady`, `DiskFull`, `Canceled`.
pub async fn import(
    cx: &RunContext,
    host: &Host,
    path: &Path,
    importing: Importing<'_>,
) -> Result<StoredImage> {
    let Importing { name, generation, first_contact } = importing;
    if generation == 0 || generation > 2 {
        let text = format!("generation is 1 or 2, not {generation}");
        return Err(Error::new(ErrorCode::InvalidArgument, text));
    }
    let target = target(name).map_err(|why| Error::new(ErrorCode::InvalidArgument, why))?;
    let store = Store::open(&cx.layout);
    if store.get(&target.id()).is_ok() {
        return Err(Error::new(ErrorCode::Conflict, format!("there is an image {name} already"))
            .hint(format!("choose another name, or goldsmith image rm {name}")));
    }
    let facts = check_importable(host, path).await?;
    let work = source_cache::work_folder(cx)?;
    let disk = work.path().join(DISK);
    convert_in(cx, host, path, &facts, &disk).await?;
    let digest = sha256(cx, &disk, &format!("Verify {name}")).await?;
    let payload = Payload {
        disk,
        digest,
        virtual_size: facts.virtual_size,
        data: Vec::new(),
        origin: Origin {
            os_type: first_contact.os().to_string(),
            architecture: "x64".to_owned(),
            generation: format!("V{generation}"),
            source: Some(path.display().to_string()),
            first_contact,
            ..Origin::default()
        },
        labels: Labels::default(),
    };
    match target {
        Address::Version(definition, version) => {
            let (definition, number) = (Address::Definition(definition), Numbering::Exact(version));
            store.publish_version(cx, &definition, number, payload).await
        }
        managed => store.publish_managed(cx, &managed, payload).await,
    }
}

/// The address to create: a local managed image by name, or an image or a version by id.
fn target(name: &str) -> Result<Address, String> {
    if !name.starts_with('/') {
        return Address::local(name);
    }
    match Address::parse(name)? {
        Address::Definition(_) | Address::Latest(_) => {
            Err(format!("`{name}` names no version: end it with /versions/x.y.z"))
        }
        target => Ok(target),
    }
}

#[cfg(test)]
mod tests;
