//! Removes the pieces of a region that no manifest names.

use std::{collections::HashSet, fs};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use images::error::Result;
use object_store::{ObjectStoreExt, path::Path as Key};
use serde::Serialize;
use vm::may_wait;

use super::{
    chunk::ChunkId,
    manifest::{self, MANIFESTS},
    place::reason,
    region::Region,
};

/// Concurrent requests to one region.
const AT_ONCE: usize = 8;

/// The result of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    pub manifests: usize,
    /// Remaining pieces.
    pub chunks: usize,
    pub removed_chunks: usize,
}

/// Removes pieces that belong to no version. `None` while a copy is in progress: the copying
/// process sweeps at its end.
///
/// An unreadable manifest, folder or note ends the sweep before anything is removed.
///
/// # Errors
/// `DistributeFailed`: a request to the region fails.
pub async fn sweep(region: &Region) -> Result<Option<Swept>> {
    let Some(_own) = region.own()? else { return Ok(None) };
    // Everything is read before anything is removed.
    let (notes, torn) = (region.unfinished()?, may_wait(|| region.torn())?);
    let store = region.store.as_ref();
    let keys = manifest::list(store, &Key::from(MANIFESTS)).await?;
    let used: Vec<Vec<ChunkId>> = stream::iter(keys.clone())
        .map(|key| named(region, key).boxed())
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let used: HashSet<ChunkId> = used.into_iter().flatten().collect();
    let there = region.pieces().await?;
    let garbage: Vec<ChunkId> = there.difference(&used).copied().collect();
    let removed_chunks = garbage.len();
    stream::iter(garbage)
        .map(|id| remove(region, id).boxed())
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    may_wait(|| {
        for path in torn.iter().chain(&notes) {
            if let Err(e) = fs::remove_file(path) {
                tracing::warn!(error = %e, path = %path.display(), "not swept");
            }
        }
    });
    Ok(Some(Swept { manifests: keys.len(), chunks: there.len() - removed_chunks, removed_chunks }))
}

/// The pieces that a manifest names.
async fn named(region: &Region, key: Key) -> Result<Vec<ChunkId>> {
    let manifest = manifest::read(region.store.as_ref(), &key).await?;
    Ok(manifest.map_or_else(Vec::new, |manifest| manifest.ids().collect()))
}

async fn remove(region: &Region, id: ChunkId) -> Result<()> {
    match region.store.delete(&id.key()).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(region.fault(&reason(&error))),
    }
}
