//! Restores a version from a region to the local store.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::ErrorCode;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use images::{
    error::{Coded, Error, Result},
    event::Activity,
    run_context::RunContext,
    store::{Store, StoredImage, address::Address},
};
use object_store::ObjectStoreExt;
use vm::{Host, may_wait, off_runtime};

use super::{
    chunk::{self, ChunkId},
    manifest::Pieces,
    place::reason,
    region::Region,
    resolve::Replica,
};

/// Concurrent downloads of pieces.
const AT_ONCE: usize = 8;

/// Fetches every piece, checks each against its name, and stores the version. A version that is
/// already in the store is left unchanged.
///
/// # Errors
/// `SourceUnavailable`: a piece is missing or does not match its name.
pub async fn pull(cx: &RunContext, host: &Host, replica: &Replica) -> Result<StoredImage> {
    let record = &replica.manifest.record;
    let store = Store::open(&cx.layout);
    let address = Address::parse(&record.id)
        .map_err(|why| Error::new(ErrorCode::BadImage, format!("{}: {why}", record.id)))?;
    if let Some(image) = store.at(&address)? {
        return Ok(image);
    }
    let work = may_wait(|| store.workshop("pull"))?;
    let disks: Vec<_> =
        replica.manifest.disks().map(|(size, pieces)| (size, pieces.clone())).collect();
    let raws: Vec<_> = (0..disks.len()).map(|n| work.path().join(format!("disk{n}.raw"))).collect();
    let share = replica.region.share().await?;
    let activity = cx.events.transfer(format!("fetch from {}", replica.region.name));
    let fetched = tokio::select! {
        biased;
        () = cx.cancel.cancelled() => Err(Error::new(ErrorCode::Canceled, "fetching was canceled")),
        fetched = fetch_all(replica, disks, &raws, &activity) => fetched,
    };
    drop(activity);
    fetched?;
    drop(share);
    store.restore(cx, host, work, &raws, record).await
}

async fn fetch_all(
    replica: &Replica,
    disks: Vec<(u64, Pieces)>,
    raws: &[PathBuf],
    activity: &Activity,
) -> Result<()> {
    for (disk, raw) in disks.into_iter().zip(raws) {
        fetch(replica, disk, raw, activity).await?;
    }
    Ok(())
}

/// Fetches one disk of the version.
async fn fetch(
    replica: &Replica,
    (size, chunks): (u64, Pieces),
    raw: &Path,
    activity: &Activity,
) -> Result<()> {
    let Replica { region, manifest } = replica;
    let fail = || format!("cannot write {}", raw.display());
    let file = may_wait(|| -> std::io::Result<_> {
        let file = File::create_new(raw)?;
        file.set_len(size)?;
        Ok(Arc::new(file))
    });
    let file = file.code(ErrorCode::SourceUnavailable, fail)?;
    let total = chunks.len() as u64 * manifest.chunk_bytes;
    let mut done = 0;
    let pieces = stream::iter(chunks).map(|(index, id)| {
        let start = index * manifest.chunk_bytes;
        let length = (size - start).min(manifest.chunk_bytes);
        place(region, id, usize::try_from(length).unwrap_or(usize::MAX), file.clone(), start)
            .boxed()
    });
    let mut pieces = pieces.buffer_unordered(AT_ONCE);
    while pieces.try_next().await?.is_some() {
        done += manifest.chunk_bytes;
        activity.progress(done, Some(total));
    }
    Ok(())
}

/// Fetches a piece and writes it at its offset.
async fn place(
    region: &Region,
    id: ChunkId,
    length: usize,
    file: Arc<File>,
    start: u64,
) -> Result<()> {
    let content = piece(region, id, length).await?;
    off_runtime(move || file.write_all_at(&content, start))
        .await
        .code(ErrorCode::SourceUnavailable, || format!("cannot write the piece {id}"))
}

async fn piece(region: &Region, id: ChunkId, length: usize) -> Result<Vec<u8>> {
    let lost = |why: &str| {
        let mut error = region.fault(why);
        error.code = ErrorCode::SourceUnavailable;
        error.hint("fetch the version from another region, or copy it there again")
    };
    let got = region.store.get(&id.key()).await.map_err(|e| lost(&reason(&e)))?;
    let packed = got.bytes().await.map_err(|e| lost(&reason(&e)))?;
    let unpacked = tokio::task::spawn_blocking(move || chunk::unpack(id, &packed, length)).await;
    unpacked.map_err(|e| lost(&e.to_string()))?.map_err(|why| lost(&why))
}
