//! The local image store: managed images and galleries, stored permanently.
//!
//! ```text
//! images/managed/<subscription>/<group>/<name>/                        disk.qcow2  [data0.qcow2 …]  image.json
//! images/galleries/<subscription>/<group>/<gallery>/<definition>/<x.y.z>/   the same
//! images/numbers/…/<definition>.json      the highest numbers that were ever given
//! images/tmp/<run id>-<number>/     being made; its maker holds a lock on the folder
//! images/.lock                      held while a name is taken: milliseconds
//! ```
//!
//! Invariants: every disk stands alone (no backing file, independent of the cache) and is never
//! written to; an image appears, is replaced and disappears by one rename; a version number is
//! assigned once.
//!
//! The store has no administration: for a local build any subscription and resource group is just a
//! name, and a gallery or definition comes into being with its first version. The service adds its
//! own checks.

pub mod address;
mod highest;
mod publish;
pub mod record;
mod reserve;
mod restore;
mod standalone;
mod sweep;
mod verify;
pub mod version;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use vm::may_wait;

use self::address::{Address, GALLERIES, MANAGED};
pub use self::{
    publish::Payload,
    record::{Kind, Labels, Origin, Record, StoredData, StoredImage},
    standalone::stored,
    sweep::sweep,
    version::{Numbering, Version},
};
use crate::{
    absent::{entries, entries_of_any},
    error::{Coded, Error, Result},
    layout::Layout,
    lock::Lock,
};

/// The image store of one data folder. Cheap to clone; has no open files.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store of a layout. Its folders are created when first needed.
    pub fn open(layout: &Layout) -> Self {
        Self { root: layout.images() }
    }

    /// Every image, managed ones first, by id and version. A damaged image is left out with a
    /// warning.
    ///
    /// # Errors
    /// `InternalError`: the store cannot be read.
    pub fn list(&self) -> Result<Vec<StoredImage>> {
        let dirs = image_dirs(&self.root)
            .code(ErrorCode::InternalError, || format!("read {}", self.root.display()))?;
        let mut images = Vec::new();
        for dir in dirs {
            match StoredImage::read(&dir) {
                Ok(image) => images.extend(image),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!(%error, "an image of the store is damaged");
                }
                Err(error) => return Err(unreadable(error)),
            }
        }
        images.sort_by_cached_key(|image| {
            let of_definition = image.record.id.to_lowercase();
            let parent = of_definition.rsplit_once('/').map(|(parent, _)| parent.to_owned());
            match image.record.version {
                None => (Kind::ManagedImage as u8, of_definition, None),
                some => (Kind::ImageVersion as u8, parent.unwrap_or_default(), some),
            }
        });
        Ok(images)
    }

    /// Blocks storing, replacing and removing images until the lock is dropped. Those operations
    /// wait: hold it only briefly. May itself wait.
    ///
    /// # Errors
    /// The lock cannot be taken.
    pub fn freeze(&self) -> io::Result<Lock> {
        self.lock()
    }

    /// Whether no image was ever stored, or all were removed.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(image_dirs(&self.root)?.is_empty())
    }

    /// The image with that name: a resource id, or `web`, `gallery/definition` (its latest
    /// version), `gallery/definition/1.0.0`, `gallery/definition/latest`.
    ///
    /// # Errors
    /// `NotFound`; `InvalidArgument` for an invalid name or one that several images have.
    pub fn get(&self, name: &str) -> Result<StoredImage> {
        if name.starts_with('/') {
            let address = Address::parse(name).map_err(|why| {
                Error::new(ErrorCode::InvalidArgument, format!("`{name}`: {why}"))
            })?;
            return match self.at(&address)? {
                Some(image) => Ok(image),
                None => Err(self.missing(ErrorCode::NotFound, name)?),
            };
        }
        let found: Vec<_> = may_wait(|| self.list())?
            .into_iter()
            .filter(|image| matches_short(image, name))
            .collect();
        let newest =
            |images: Vec<StoredImage>| images.into_iter().max_by_key(|image| image.record.version);
        let mut ids: Vec<_> = found.iter().map(|image| parent_id(&image.record)).collect();
        ids.dedup();
        match ids.len() {
            0 => Err(self.missing(ErrorCode::NotFound, name)?),
            1 => newest(found).ok_or_else(|| Error::new(ErrorCode::NotFound, "no such image")),
            _ => Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("`{name}` may mean several images"),
            )
            .hint("give the whole id")
            .details(found.into_iter().map(|image| image.record.id))),
        }
    }

    /// The image at an address; the latest version for a definition and for `latest`.
    ///
    /// # Errors
    /// `InternalError`: it cannot be read, which does not mean that it is absent.
    pub fn at(&self, address: &Address) -> Result<Option<StoredImage>> {
        may_wait(|| match address {
            Address::Managed(_) | Address::Version(..) => {
                StoredImage::read(&address.dir(&self.root)).map_err(unreadable)
            }
            Address::Definition(_) | Address::Latest(_) => {
                let versions = self.versions(address)?;
                let counted = versions.into_iter().filter(|v| !v.record.labels.exclude_from_latest);
                Ok(counted.max_by_key(|image| image.record.version))
            }
        })
    }

    /// All versions of a definition, in no particular order.
    ///
    /// # Errors
    /// `InternalError`: they cannot be read.
    pub fn versions(&self, definition: &Address) -> Result<Vec<StoredImage>> {
        let dir = definition.dir(&self.root);
        let dirs =
            entries(&dir).code(ErrorCode::InternalError, || format!("read {}", dir.display()))?;
        let read = dirs.iter().filter_map(|dir| StoredImage::read(dir).transpose());
        read.collect::<io::Result<_>>().map_err(unreadable)
    }

    /// The one image that a name identifies for removal. Here a definition does not stand for its
    /// latest version.
    ///
    /// # Errors
    /// As [`get`](Self::get); `InvalidArgument` if it does not name one version.
    pub fn removable(&self, name: &str) -> Result<StoredImage> {
        let image = self.get(name)?;
        let exact = name.split('/').next_back().unwrap_or_default();
        if image.record.version.is_some_and(|version| version.to_string() != exact) {
            let versions = self
                .list()?
                .into_iter()
                .filter(|other| parent_id(&other.record) == parent_id(&image.record));
            let text = format!("`{name}` does not name one version");
            return Err(Error::new(ErrorCode::InvalidArgument, text)
                .hint("name the version to remove")
                .details(versions.map(|image| image.short_name())));
        }
        Ok(image)
    }

    /// Permanently removes one managed image or one version, and returns its record.
    ///
    /// # Errors
    /// As [`removable`](Self::removable); `InternalError` if it cannot be moved away.
    pub fn remove(&self, name: &str) -> Result<StoredImage> {
        let image = self.removable(name)?;
        let fail = || format!("remove {}", image.record.id);
        {
            let _lock = self.lock().code(ErrorCode::InternalError, fail)?;
            if let Some(version) = image.record.version
                && let Ok(address) = Address::parse(&image.record.id)
            {
                self.note_number(&address, version).code(ErrorCode::InternalError, fail)?;
            }
            let trash = self.work_folder("removed").code(ErrorCode::InternalError, fail)?;
            fs::rename(&image.dir, trash.path().join("image"))
                .code(ErrorCode::InternalError, fail)?;
            drop_empty_parents(&image.dir, &self.root);
        }
        Ok(image)
    }

    /// The error for a missing image. It lists the existing ones.
    fn missing(&self, code: ErrorCode, name: &str) -> Result<Error> {
        let mut known: Vec<_> = self.list()?.into_iter().map(|image| image.record.id).collect();
        known.truncate(20);
        let error = Error::new(code, format!("there is no image `{name}` in the store"));
        Ok(if known.is_empty() {
            error.hint("the store is empty: build an image, or goldsmith image import NAME FILE")
        } else {
            error.hint("these images exist (goldsmith image ls)").details(known)
        })
    }

    /// Releasable while a name is assigned or freed.
    fn lock(&self) -> io::Result<Lock> {
        Lock::take_blocking(&self.root.join(".lock"))
    }
}

/// An unreadable image may exist all the same.
fn unreadable(error: io::Error) -> Error {
    let text = format!("an image of the store cannot be read: {error}");
    Error::new(ErrorCode::InternalError, text)
        .hint("put the file back from a backup, or remove its folder if the image is not needed")
        .caused_by(error)
}

fn matches_short(image: &StoredImage, name: &str) -> bool {
    let own = image.short_name().to_lowercase();
    let name = name.to_lowercase();
    if image.record.version.is_none() || own == name {
        return own == name;
    }
    let definition = own.rsplit_once('/').map_or("", |(definition, _)| definition);
    let asked = name.strip_suffix("/latest").unwrap_or(&name);
    definition == asked && !image.record.labels.exclude_from_latest
}

/// The id of the managed image or of the definition, for comparison.
fn parent_id(record: &Record) -> String {
    let id = record.id.to_lowercase();
    match (record.version, id.rsplit_once("/versions/")) {
        (Some(_), Some((definition, _))) => definition.to_owned(),
        _ => id,
    }
}

/// Every folder that may contain an image.
fn image_dirs(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut dirs = below(&root.join(MANAGED), 3)?;
    dirs.extend(below(&root.join(GALLERIES), 5)?);
    Ok(dirs)
}

/// The paths exactly `depth` levels below `dir`.
fn below(dir: &Path, depth: usize) -> io::Result<Vec<PathBuf>> {
    let mut paths = vec![dir.to_owned()];
    for _ in 0..depth {
        let lower: io::Result<Vec<_>> = paths.iter().map(|path| entries_of_any(path)).collect();
        paths = lower?.concat();
    }
    Ok(paths)
}

/// Removes the folders above `dir`, up to `root`, that have become empty.
fn drop_empty_parents(dir: &Path, root: &Path) {
    let mut dir = dir.parent();
    while let Some(parent) = dir.filter(|parent| *parent != root) {
        if fs::remove_dir(parent).is_err() {
            break;
        }
        dir = parent.parent();
    }
}

#[cfg(test)]
mod tests;
