//! Regions: places of storage, beside the local store, that versions of gallery images are copied to.
//!
//! ```text
//! <place>/chunks/<2 digits>/<SHA-256 of the content>.zst   a piece of a disk, compressed
//! <place>/manifests/<subscription>/<group>/<gallery>/<definition>/<x.y.z>.json
//!                                                          which pieces make the version's disk
//! <data>/regions/<region>/lock                             shared while copying, exclusive while sweeping
//! <data>/regions/<region>/open-<uuid>                      a copy that is not finished
//! <data>/regions/status/…/<x.y.z>.json                     how far copies are, and why one failed
//! ```
//!
//! Invariants: a copy exists when its manifest does, which is written last and at once; a piece is
//! never changed; a piece that no manifest names is garbage, and only the [sweep](sweep::sweep) removes it,
//! while nobody copies. A piece covers a fixed range of *the guest's* disk, so that two versions share what
//! they have in common wherever it lies in their files. Ranges of zeros are not stored.
//!
//! It knows places of storage and the image store (`images`). It does not know which regions a version goes to
//! (`engine::distribute`), or what asks for a copy.

mod admit;
mod blob;
mod chunk;
mod copy;
mod forget;
mod manifest;
mod place;
mod prepare;
mod pull;
mod reader;
mod region;
mod resolve;
pub mod status;
mod sweep;
pub mod upload;

pub use admit::Known;
pub use blob::{Blob, find as find_blob};
pub use copy::{Copied, Outcome, Request, replicate};
pub use forget::{forget, forget_all, forget_in};
pub use manifest::Manifest;
pub use place::open;
pub use pull::pull;
pub use region::Region;
pub use resolve::{Replica, find, has, latest, of_id};
pub use sweep::{Swept, sweep};

pub use images::geography::Geography;

/// Bytes of the guest's disk that one piece covers.
///
/// Measured (docs/performance.md): smaller pieces move less when files change here and there, larger
/// ones are fewer to ask for.
pub const CHUNK_BYTES: u64 = 128 << 10;
