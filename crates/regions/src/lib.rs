//! Regions: storage places, beside the local store, that versions of gallery images are copied to.
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
//! Invariants: a copy exists when its manifest does, which is written last and atomically; a piece
//! never changes; a piece that no manifest names is garbage, and only the [sweep](sweep::sweep)
//! removes it, while no copy is in progress. A piece covers a fixed range of *the guest's* disk, so
//! that two versions share their common data wherever it is in their files. Ranges of zeros are not
//! stored.
//!
//! This crate knows storage places and the image store (`images`). It does not know which regions a
//! version is distributed to (`engine::distribute`), or which caller requests a copy.

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

pub use admit::StorageRegions;
pub use blob::{Blob, find as find_blob};
pub use copy::{Copied, Replication, Request, replicate};
pub use forget::{forget, forget_all, forget_in};
pub use manifest::Manifest;
pub use place::open;
pub use pull::pull;
pub use region::Region;
pub use resolve::{Replica, find, has, latest, of_id};
pub use sweep::{Swept, sweep};

pub use images::region_set::RegionSet;

/// Bytes of the guest's disk that one piece covers.
///
/// Measured (docs/performance.md): smaller pieces transfer less after scattered changes, larger
/// ones need fewer requests.
pub const CHUNK_BYTES: u64 = 128 << 10;
