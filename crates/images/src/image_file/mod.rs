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

use std::path::PathBuf;

pub use crate::format::Format;

/// An image file and its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub path: PathBuf,
    pub format: Format,
}
