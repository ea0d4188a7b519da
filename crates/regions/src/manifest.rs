//! The manifest of a version's copy, and its location in a place.

use api::ErrorCode;
use futures_util::TryStreamExt;
use images::{
    error::{Error, Result},
    store::{Record, Version, address::Address},
};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path as Key};
use serde::{Deserialize, Serialize};

use super::{chunk::ChunkId, place::reason};

/// The folder of all manifests of a place.
pub(super) const MANIFESTS: &str = "manifests";
const FORMAT: u32 = 1;

/// A version in a place. It is written last, so that all of its pieces exist if it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    format: u32,
    /// Bytes of the guest's disk in one piece; the last one may have fewer.
    pub(super) chunk_bytes: u64,
    /// The version's record in the store that it was copied from.
    pub record: Record,
    /// The pieces that are not all zeros, by number.
    pub(super) chunks: Pieces,
    /// The same for each data disk, by LUN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) data: Vec<Pieces>,
}

/// The pieces of a disk that are not all zeros, with their numbers.
pub(super) type Pieces = Vec<(u64, ChunkId)>;

impl Manifest {
    /// A manifest of the pieces of every disk, the OS disk's first.
    pub(super) fn new(record: Record, chunk_bytes: u64, disks: Vec<Pieces>) -> Self {
        let mut disks = disks.into_iter();
        let chunks = disks.next().unwrap_or_default();
        Self { format: FORMAT, chunk_bytes, record, chunks, data: disks.collect() }
    }

    /// Every disk: the size that the guest sees, and its pieces.
    pub(super) fn disks(&self) -> impl Iterator<Item = (u64, &Pieces)> {
        let data = self.record.data_disks.iter().map(|disk| disk.virtual_size);
        std::iter::once((self.record.virtual_size, &self.chunks)).chain(data.zip(&self.data))
    }

    /// The names of its pieces.
    pub(super) fn ids(&self) -> impl Iterator<Item = ChunkId> + '_ {
        self.chunks.iter().chain(self.data.iter().flatten()).map(|(_, id)| *id)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let bytes = manifest.chunk_bytes;
        let lies_in = |size: u64, pieces: &Pieces| {
            let start = |index: u64| index.checked_mul(bytes);
            pieces.iter().all(|(index, _)| start(*index).is_some_and(|start| start < size))
        };
        let fits = bytes > 0
            && manifest.data.len() == manifest.record.data_disks.len()
            && manifest.disks().all(|(size, pieces)| lies_in(size, pieces));
        match (manifest.format == FORMAT, fits) {
            (true, true) => Ok(manifest),
            (false, _) => Err(format!("its format is {}, not {FORMAT}", manifest.format)),
            (_, false) => Err("a piece lies outside of the disk".to_owned()),
        }
    }
}

/// The folder of a definition's manifests, from the parts of its id in lower case.
pub(super) fn folder(definition: &Address) -> Key {
    Key::from_iter(std::iter::once(MANIFESTS.to_owned()).chain(definition.parts()))
}

/// The key of a version's manifest.
pub(super) fn key(definition: &Address, version: Version) -> Key {
    folder(definition).join(format!("{version}.json"))
}

/// The version of a manifest, from its key in a definition's folder.
pub(super) fn version_of(key: &Key) -> Option<Version> {
    key.filename()?.strip_suffix(".json")?.parse().ok()
}

/// Reads a manifest; `None` if it does not exist.
pub(super) async fn read(store: &dyn ObjectStore, key: &Key) -> Result<Option<Manifest>> {
    let got = match store.get(key).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        other => other.map_err(|e| fault(key, &reason(&e)))?,
    };
    let bytes = got.bytes().await.map_err(|e| fault(key, &reason(&e)))?;
    Manifest::parse(&bytes).map(Some).map_err(|why| fault(key, &why))
}

/// Writes a manifest: from now on the copy exists.
pub(super) async fn write(store: &dyn ObjectStore, key: &Key, manifest: &Manifest) -> Result<u64> {
    let bytes = serde_json::to_vec(manifest).map_err(|e| fault(key, &e.to_string()))?;
    let length = bytes.len() as u64;
    let payload = PutPayload::from(bytes);
    let put = match store.put_opts(key, payload.clone(), PutMode::Create.into()).await {
        // The store does not support conditional writes.
        Err(object_store::Error::NotImplemented { .. }) => store.put(key, payload).await,
        put => put,
    };
    match put {
        // Another copy of the version was completed since this one began.
        Err(object_store::Error::AlreadyExists { .. }) => {
            let there = read(store, key).await?;
            match there.is_some_and(|there| manifest.record.has_content_of(&there.record)) {
                true => Ok(0),
                false => {
                    Err(fault(key, "another version of this number was copied there meanwhile"))
                }
            }
        }
        put => put.map(|_| length).map_err(|e| fault(key, &reason(&e))),
    }
}

/// The keys of all manifests below `prefix`.
pub(super) async fn list(store: &dyn ObjectStore, prefix: &Key) -> Result<Vec<Key>> {
    let found = store.list(Some(prefix)).map_ok(|meta| meta.location);
    let keys: Vec<Key> = found.try_collect().await.map_err(|e| fault(prefix, &reason(&e)))?;
    Ok(keys.into_iter().filter(|key| version_of(key).is_some()).collect())
}

fn fault(key: &Key, why: &str) -> Error {
    Error::new(ErrorCode::DistributeFailed, format!("{key}: {why}"))
}

/// The key of an image's manifest.
pub(super) fn key_of(image: &Address) -> Result<Key> {
    match image {
        Address::Version(definition, version) => {
            Ok(key(&Address::Definition(definition.clone()), *version))
        }
        Address::Managed(_) | Address::Definition(_) | Address::Latest(_) => Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{} is not a version of a gallery image", image.id()),
        )
        .hint("only versions of gallery images are copied to regions")),
    }
}
