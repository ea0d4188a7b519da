//! Image files on the host: convert, hash, link, copy; each appears whole or not at all.
//!
//! Invariants: formats are always given, never guessed from content; holes are neither read nor
//! written; a file that is not finished has a name of its own (see [`partial`]) and its maker's lock.
//!
//! Not here: what is inside an image. Only a guest looks there.

pub mod artifact;
pub mod convert;
pub mod data;
pub mod digest;
pub mod extents;
pub mod footer;
pub mod partial;
pub mod place;
pub mod space;
pub mod verified;
mod vmdk;

use std::{fmt, io, path::PathBuf};

use api::ErrorCode;

use crate::error::Error;

/// The formats that Goldsmith reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Qcow2,
    Raw,
    Vhd,
    Vmdk,
}

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Qcow2, Self::Raw, Self::Vhd, Self::Vmdk];

    /// The name users write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
            Self::Vhd => "vhd",
            Self::Vmdk => "vmdk",
        }
    }

    /// The name of QEMU's block driver.
    pub fn driver(self) -> &'static str {
        match self {
            Self::Vhd => "vpc",
            Self::Qcow2 | Self::Raw | Self::Vmdk => self.name(),
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An image file and its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub path: PathBuf,
    pub format: Format,
}

/// Codes an I/O failure: a full disk is the host's matter, everything else `otherwise`.
pub(crate) fn io_fault(error: io::Error, otherwise: ErrorCode, doing: String) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::new(ErrorCode::DiskFull, format!("{doing}: the disk is full"))
                .hint(space::HINT)
                .caused_by(error)
        }
        // Blocking work reports a cancel this way, because it has no other error type.
        io::ErrorKind::Interrupted => Error::new(ErrorCode::Canceled, format!("{doing}: canceled")),
        _ => Error::new(otherwise, format!("{doing}: {error}")).caused_by(error),
    }
}

/// What blocking work returns when it was told to stop.
pub(crate) fn stopped() -> io::Error {
    io::Error::from(io::ErrorKind::Interrupted)
}
