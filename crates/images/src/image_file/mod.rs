//! Image files on the host: convert, hash, link, copy. Each appears whole or not at all.
//!
//! Invariants: the format is always given, never guessed from content; holes are neither read nor
//! written; an unfinished file has a name of its own (see [`partial`](crate::files::partial)) and its maker's lock.
//!
//! This module does not know the content of an image. Only a guest reads it.

pub mod artifact;
pub mod convert;
pub mod data;
pub mod digest;
pub mod extents;
pub mod footer;
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
