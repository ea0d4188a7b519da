//! `image.json`: the record of an image in the store.

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vm::OsType;

use super::version::Version;
use crate::{
    first_contact::FirstContact,
    image_file::{artifact::DataDisk, data::file_name, digest::Stamp},
};

/// Version of the layout on disk.
pub(super) const FORMAT: u32 = 1;
pub(super) const DISK: &str = "disk.qcow2";
pub(super) const JSON: &str = "image.json";

/// The two kinds of stored image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    ManagedImage,
    ImageVersion,
}

/// The known facts about an image's content, in any place of storage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Origin {
    /// `Linux` or `Windows`.
    pub os_type: String,
    /// `x64` or `Arm64`.
    pub architecture: String,
    /// `V1` (BIOS) or `V2` (UEFI).
    pub generation: String,
    /// The source: a URN, a resource id, a file.
    pub source: Option<String>,
    /// The version that the source's `latest` stood for.
    pub source_version: Option<String>,
    pub template: Option<String>,
    pub run_id: Option<String>,
    /// As for its source: a build does not know what its customizers changed.
    #[serde(skip_serializing_if = "FirstContact::is_default")]
    pub first_contact: FirstContact,
}

impl Origin {
    /// The system of its guests. Records that do not name it are of Linux.
    pub fn os(&self) -> OsType {
        OsType::of_name(&self.os_type).unwrap_or_default()
    }
}

/// Labels from the author of an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Labels {
    pub run_output_name: Option<String>,
    /// `artifactTags`.
    pub tags: BTreeMap<String, String>,
    pub exclude_from_latest: bool,
    /// As written in the template; a local store has no regions.
    pub target_regions: Option<serde_json::Value>,
}

/// The content of `image.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub format: u32,
    /// Resource id.
    pub id: String,
    pub kind: Kind,
    /// Name of the managed image or of the definition.
    pub name: String,
    pub version: Option<Version>,
    /// SHA-256 of `disk.qcow2`.
    pub digest: String,
    /// The same for the first stored file of the version, if the version was restored from a
    /// region. The guest sees the same disk, but the file differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<String>,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
    /// Bytes of `disk.qcow2` on the host.
    pub actual_size: u64,
    pub stamp: Stamp,
    /// The data disks, by LUN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_disks: Vec<StoredData>,
    pub created: Timestamp,
    #[serde(flatten)]
    pub origin: Origin,
    #[serde(flatten)]
    pub labels: Labels,
}

impl Record {
    /// Whether a guest sees the same disks in both.
    pub fn has_content_of(&self, other: &Self) -> bool {
        self.contents().eq(other.contents())
    }

    /// The digest of each disk's content, the OS disk's first, in any place of storage.
    fn contents(&self) -> impl Iterator<Item = &str> {
        let system = self.content_digest.as_ref().unwrap_or(&self.digest);
        let data = self.data_disks.iter();
        let data = data.map(|disk| disk.content_digest.as_ref().unwrap_or(&disk.digest));
        std::iter::once(system).chain(data).map(String::as_str)
    }

    /// Records that this is a copy of `original` with files of its own.
    pub(super) fn came_from(&mut self, original: &Self) {
        let names: Vec<String> = original.contents().map(str::to_owned).collect();
        let mut names = names.into_iter();
        self.content_digest = names.next().filter(|name| *name != self.digest);
        for (disk, name) in self.data_disks.iter_mut().zip(names) {
            disk.content_digest = Some(name).filter(|name| *name != disk.digest);
        }
    }
}

/// The record of a data disk, `data<lun>.qcow2`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredData {
    pub lun: usize,
    /// SHA-256 of the file.
    pub digest: String,
    /// As in the [`Record`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<String>,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
    /// Bytes of the file on the host.
    pub actual_size: u64,
    pub stamp: Stamp,
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredImage {
    pub record: Record,
    /// The image's folder. It may be replaced or removed at any time. To use the disk for long,
    /// [link](super::Store::link) it.
    pub dir: PathBuf,
}

impl StoredImage {
    /// The standalone qcow2.
    pub fn disk(&self) -> PathBuf {
        self.dir.join(DISK)
    }

    /// Its data disks, by LUN.
    pub fn data(&self) -> Vec<DataDisk> {
        let disk = |(lun, data): (usize, &StoredData)| DataDisk {
            disk: self.dir.join(file_name(lun)),
            sha256: data.digest.clone(),
            virtual_size: data.virtual_size,
        };
        self.record.data_disks.iter().enumerate().map(disk).collect()
    }

    /// Bytes of all its disks on the host.
    pub fn actual_size(&self) -> u64 {
        let data: u64 = self.record.data_disks.iter().map(|disk| disk.actual_size).sum();
        self.record.actual_size + data
    }

    /// The short name for users: `web`, `gallery/definition/1.0.0`.
    pub fn short_name(&self) -> String {
        let id = self.record.id.split('/').collect::<Vec<_>>();
        match (self.record.version, id.as_slice()) {
            (Some(version), [.., gallery, _, definition, _, _]) => {
                format!("{gallery}/{definition}/{version}")
            }
            _ => self.record.name.clone(),
        }
    }

    /// Reads the image in a folder; `None` if there is none.
    ///
    /// # Errors
    /// There may be an image, but it cannot be read; `InvalidData` if it is damaged or of another
    /// release.
    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        use io::ErrorKind::{InvalidData, NotADirectory, NotFound};
        let path = dir.join(JSON);
        let unreadable =
            |kind, why: &dyn Display| io::Error::new(kind, format!("{}: {why}", path.display()));
        let bytes = match fs::read(&path) {
            Err(e) if matches!(e.kind(), NotFound | NotADirectory) => return Ok(None),
            other => other.map_err(|e| unreadable(e.kind(), &e))?,
        };
        let record: Record =
            serde_json::from_slice(&bytes).map_err(|e| unreadable(InvalidData, &e))?;
        if record.format != FORMAT {
            let why = format!("its format is {}, and this release knows {FORMAT}", record.format);
            return Err(unreadable(InvalidData, &why));
        }
        Ok(Some(Self { record, dir: dir.to_owned() }))
    }
}

/// Size on the host and stamp of a finished disk.
pub(super) fn measure(disk: &Path) -> io::Result<(u64, Stamp)> {
    let metadata = fs::metadata(disk)?;
    Ok((metadata.blocks() * 512, Stamp::of(&metadata)))
}
