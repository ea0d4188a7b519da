//! Copies one version to several regions. The disk is read once, and each region gets the pieces
//! that it lacks.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use api::ErrorCode;
use futures_util::{FutureExt, StreamExt, future, stream};
use images::{
    config::Config,
    error::{Coded, Error, Result},
    event::Activity,
    lock::UseLock,
    run_context::RunContext,
    store::{Store, StoredImage, address::Address},
};
use object_store::PutPayload;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vm::{Host, may_wait};

use super::{
    CHUNK_BYTES,
    chunk::ChunkId,
    manifest::{self, Manifest, Pieces},
    prepare::{self, Present},
    reader,
    region::{self, Region, Unfinished},
    status::{self, State},
    sweep,
};

/// Concurrent uploads of pieces to one region.
const AT_ONCE: usize = 8;
/// Pieces that may be queued for a region before the reader waits.
const QUEUE: usize = 64;
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A version, and the regions to copy it to.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub image: &'a StoredImage,
    /// Names of regions with a place.
    pub regions: &'a [String],
}

/// The result of a request.
#[derive(Debug)]
pub struct Replication {
    /// Bytes read from the version's disk, for all regions together.
    pub read_bytes: u64,
    /// By region, in the order of the request.
    pub regions: Vec<(String, Result<Copied>)>,
}

/// The copy in one region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Copied {
    /// Pieces of the version.
    pub chunks: u64,
    /// Pieces that the region lacked.
    pub moved_chunks: u64,
    /// Bytes that were sent to the region and that it stores, the manifest included.
    pub moved_bytes: u64,
}

/// Copies a version to every region that does not have it. A region that fails does not stop the
/// others. A repetition sends only the missing pieces.
///
/// # Errors
/// An error that concerns all regions: the version's disk cannot be read, or the work was canceled.
pub async fn replicate(
    cx: &RunContext,
    host: &Host,
    config: &Config,
    request: Request<'_>,
) -> Result<Replication> {
    // Only a disk that is unchanged since it was stored is copied.
    let image = &Store::open(&cx.layout).verify(cx, request.image.clone()).await?;
    let request = Request { image, ..request };
    let opening = request.regions.iter().map(|name| open(cx, config, name, request.image).boxed());
    let opened = future::join_all(opening).await;
    if cx.cancel.is_cancelled() {
        return Err(region::canceled());
    }
    copy(cx, host, config, request, opened).await
}

/// For work that leaves nothing behind when its future is dropped.
async fn unless_canceled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T> {
    cancel.run_until_cancelled(work).await.ok_or_else(region::canceled)
}

/// A region to write to.
struct RegionCopy {
    region: Region,
    /// The pieces that it has.
    has: HashSet<ChunkId>,
    note: Unfinished,
    _share: UseLock,
}

async fn copy(
    cx: &RunContext,
    host: &Host,
    config: &Config,
    request: Request<'_>,
    opened: Vec<Result<Opened>>,
) -> Result<Replication> {
    let Request { image, regions } = request;
    let mut results: Vec<Option<Result<Copied>>> = regions.iter().map(|_| None).collect();
    let (mut numbers, mut copies) = (Vec::new(), Vec::new());
    for (number, opened) in opened.into_iter().enumerate() {
        match opened {
            Ok(Opened::There(chunks)) => {
                results[number] = Some(Ok(Copied { chunks, ..Copied::default() }));
            }
            Ok(Opened::Lacks(copy)) => {
                numbers.push(number);
                copies.push(copy);
            }
            Err(error) => results[number] = Some(Err(error)),
        }
    }
    let mut status = may_wait(|| status::Writer::begin(&cx.layout, image))?;
    for (number, result) in results.iter().enumerate() {
        if let Some(result) = result {
            status.set(&regions[number], state_of(result))?;
        }
    }
    let mut read_bytes = 0;
    if !copies.is_empty() {
        let (bytes, copied) = fan_out(cx, host, image, copies, &mut status).await?;
        read_bytes = bytes;
        for (number, result) in numbers.into_iter().zip(copied) {
            status.set(&regions[number], state_of(&result))?;
            results[number] = Some(result);
        }
    }
    for (name, result) in regions.iter().zip(&results) {
        // The pieces in a region that failed are useful for the next attempt.
        if let Some(Ok(_)) = result {
            tidy_up(cx, config, name).await;
        }
    }
    let lost = || Err(Error::new(ErrorCode::InternalError, "a region was forgotten"));
    let results = results.into_iter().map(|result| result.unwrap_or_else(lost));
    Ok(Replication { read_bytes, regions: regions.iter().cloned().zip(results).collect() })
}

/// Sweeps a region with leftovers of an earlier, incomplete copy, once this copy is complete. Until
/// then the pieces could be reused.
async fn tidy_up(cx: &RunContext, config: &Config, name: &str) {
    let Some(Ok(region)) = config.region(name).map(|known| Region::open(&cx.layout, known)) else {
        return;
    };
    let swept = match region.unfinished() {
        Ok(notes) if notes.is_empty() => return,
        Ok(_) => sweep::sweep(&region).await,
        Err(error) => Err(error),
    };
    if let Err(error) = swept {
        cx.events.warn(format!("region {name} was not swept: {}", error.message));
    }
}

fn state_of(result: &Result<Copied>) -> State {
    match result {
        Ok(_) => State::Completed,
        Err(error) => State::Failed { details: error.message.clone() },
    }
}

enum Opened {
    /// The region already has the version, with that many pieces.
    There(u64),
    Lacks(RegionCopy),
}

async fn open(cx: &RunContext, config: &Config, name: &str, image: &StoredImage) -> Result<Opened> {
    let known = config.region(name).ok_or_else(|| {
        Error::new(ErrorCode::DistributeFailed, format!("region {name} has no place"))
            .hint("name its place in goldsmith.toml, as docs/configuration.md says")
    })?;
    let region = Region::open(&cx.layout, known)?;
    if may_wait(|| region.is_doubtful())? {
        // A sweep that removes files is not interrupted: otherwise the next copy could count a
        // piece as present that is about to be removed.
        region.unless_canceled(&cx.cancel, sweep::sweep(&region)).await?;
    }
    let opened = unless_canceled(&cx.cancel, look(region, name, image)).await;
    opened.flatten()
}

/// Reads which pieces of the version the region has.
async fn look(region: Region, name: &str, image: &StoredImage) -> Result<Opened> {
    let share = region.share().await?;
    let key = manifest::key_of(&address_of(image)?)?;
    if let Some(there) = manifest::read(region.store.as_ref(), &key).await? {
        if image.record.has_content_of(&there.record) {
            return Ok(Opened::There(there.ids().count() as u64));
        }
        let text = format!("region {name} has another version {} already", image.short_name());
        return Err(Error::new(ErrorCode::VersionConflict, text)
            .hint("remove that one, or publish under another number"));
    }
    let note = region.begin()?;
    let has = region.pieces().await?;
    Ok(Opened::Lacks(RegionCopy { region, has, note, _share: share }))
}

fn address_of(image: &StoredImage) -> Result<Address> {
    Address::parse(&image.record.id).map_err(|why| Error::new(ErrorCode::InvalidArgument, why))
}

type Queue = mpsc::Sender<(ChunkId, PutPayload)>;

/// Counts the pieces and bytes that were sent to a region.
#[derive(Default)]
struct Sent {
    chunks: AtomicU64,
    bytes: AtomicU64,
}

/// Reads the disk and feeds every copy. Returns the bytes read, and the result of each copy in
/// order.
async fn fan_out(
    cx: &RunContext,
    host: &Host,
    image: &StoredImage,
    mut copies: Vec<RegionCopy>,
    status: &mut status::Writer,
) -> Result<(u64, Vec<Result<Copied>>)> {
    let disks = disks_of(cx, host, image).await?;
    let present =
        Present::new(copies.iter_mut().map(|copy| std::mem::take(&mut copy.has)).collect());
    let sent: Vec<Sent> = copies.iter().map(|_| Sent::default()).collect();
    let (queues, ends): (Vec<Queue>, Vec<_>) = copies.iter().map(|_| mpsc::channel(QUEUE)).unzip();
    let names: Vec<_> = copies.iter().map(|copy| copy.region.name.clone()).collect();
    let tell = |done: u64, total: u64| {
        for name in &names {
            let percent = u8::try_from(done * 100 / total.max(1)).unwrap_or(100).min(99);
            status.set(name, State::Replicating { progress: percent })?;
        }
        Ok(())
    };
    let activity = cx.events.transfer("copy to the regions");
    let reading = unless_canceled(&cx.cancel, feed_all(&activity, disks, present, queues, tell));
    let regions: Vec<_> = copies.iter().map(|copy| copy.region.clone()).collect();
    let uploads = regions
        .iter()
        .zip(ends)
        .zip(&sent)
        .map(|((region, queue), sent)| upload(region, queue, sent, &cx.cancel).boxed());
    let (read, uploaded) = future::join(reading, future::join_all(uploads)).await;
    drop(activity);
    let (read_bytes, chunks) = read??;
    if cx.cancel.is_cancelled() {
        // The pieces in the queues were not sent, even if all uploads that began succeeded.
        return Err(region::canceled());
    }
    let manifest = Manifest::new(image.record.clone(), CHUNK_BYTES, chunks);
    let finished = copies
        .into_iter()
        .zip(uploaded)
        .zip(&sent)
        .map(|((copy, upload), sent)| finish(cx, copy, upload, image, &manifest, sent).boxed());
    Ok((read_bytes, future::join_all(finished).await))
}

/// A disk of the version, for reading.
struct Disk {
    path: PathBuf,
    /// Size that the guest sees, in bytes.
    size: u64,
    extents: Vec<reader::Extent>,
}

/// The OS disk, then the data disks.
async fn disks_of(cx: &RunContext, host: &Host, image: &StoredImage) -> Result<Vec<Disk>> {
    let data = image.data().into_iter().map(|disk| (disk.disk, disk.virtual_size));
    let mut disks = Vec::new();
    for (path, size) in std::iter::once((image.disk(), image.record.virtual_size)).chain(data) {
        let extents = reader::extents(cx, host, &path).await?;
        disks.push(Disk { path, size, extents });
    }
    Ok(disks)
}

/// Feeds every copy from one disk after the other. Returns the bytes read, and the pieces of each
/// disk.
async fn feed_all(
    activity: &Activity,
    disks: Vec<Disk>,
    present: Present,
    queues: Vec<Queue>,
    mut tell: impl FnMut(u64, u64) -> Result<()>,
) -> Result<(u64, Vec<Pieces>)> {
    let total: u64 = disks.iter().map(|disk| reader::data_bytes(&disk.extents)).sum();
    let (mut read, mut before, mut pieces) = (0, 0, Vec::new());
    let mut written: Option<Instant> = None;
    for disk in disks {
        let bytes = reader::data_bytes(&disk.extents);
        let report = |done: u64| {
            let done = before + done.min(bytes);
            activity.progress(done, Some(total));
            if written.is_some_and(|at| at.elapsed() <= TELL_EVERY) {
                return Ok(());
            }
            written = Some(Instant::now());
            tell(done, total)
        };
        let (from_disk, of_disk) = feed(disk, present.clone(), &queues, report).await?;
        read += from_disk;
        before += bytes;
        pieces.push(of_disk);
    }
    Ok((read, pieces))
}

/// The reader: sends every piece to the regions that lack it. A failed region takes no more pieces.
async fn feed(
    disk: Disk,
    present: Present,
    queues: &[Queue],
    mut tell: impl FnMut(u64) -> Result<()>,
) -> Result<(u64, Pieces)> {
    let Disk { path, size, extents } = disk;
    let fail = || format!("cannot read {}", path.display());
    let (batches, reading) = prepare::stream(&path, extents, size, present);
    let mut batches = std::pin::pin!(batches);
    let (mut chunks, mut done) = (Vec::new(), 0);
    tell(0)?;
    while let Some(batch) = batches.next().await {
        let batch = batch.code(ErrorCode::DistributeFailed, fail)?;
        done += batch.bytes;
        for piece in batch.pieces {
            chunks.push((piece.index, piece.id));
            let Some((lacking, packed)) = piece.wanted else { continue };
            let sent = lacking.iter().filter_map(|n| queues.get(*n));
            // A copy that takes no pieces has failed and reports its own error.
            future::join_all(sent.map(|queue| queue.send((piece.id, packed.clone())).boxed()))
                .await;
            if queues.iter().all(mpsc::Sender::is_closed) {
                return Ok((0, chunks));
            }
        }
        tell(done)?;
    }
    let read = reading.await.map_err(std::io::Error::other).flatten();
    Ok((read.code(ErrorCode::DistributeFailed, fail)?, chunks))
}

/// The writer of one region. After a failure or a cancel it begins no further upload, but waits for
/// those in progress: a write to a folder continues after its future is dropped, and would outlive
/// the shared lock on the region.
async fn upload(
    region: &Region,
    queue: mpsc::Receiver<(ChunkId, PutPayload)>,
    sent: &Sent,
    cancel: &CancellationToken,
) -> Result<()> {
    let failed = cancel.child_token();
    let pieces = stream::unfold(queue, async |mut queue| {
        let piece: (ChunkId, PutPayload) = queue.recv().await?;
        Some((piece, queue))
    });
    let mut puts = pieces
        .take_until(failed.cancelled())
        .map(|(id, packed)| region.unless_canceled(cancel, region.put(id, packed)).boxed())
        .buffer_unordered(AT_ONCE)
        .boxed();
    let mut outcome = Ok(());
    while let Some(put) = puts.next().await {
        match put {
            Ok(bytes) => {
                sent.chunks.fetch_add(1, Ordering::Relaxed);
                sent.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Err(error) => {
                failed.cancel();
                outcome = outcome.and(Err(error));
            }
        }
    }
    outcome
}

/// Writes the manifest after all pieces: the copy now exists.
async fn finish(
    cx: &RunContext,
    copy: RegionCopy,
    upload: Result<()>,
    image: &StoredImage,
    manifest: &Manifest,
    sent: &Sent,
) -> Result<Copied> {
    upload?;
    let RegionCopy { region, note, .. } = copy;
    region.settle().await?;
    let key = manifest::key_of(&address_of(image)?)?;
    cx.confirm_ownership().await?;
    let bytes = region
        .unless_canceled(&cx.cancel, async {
            let written = manifest::write(region.store.as_ref(), &key, manifest).await;
            written.map_err(|error| region.fault(&error.message))
        })
        .await?;
    region.settle().await?;
    may_wait(|| note.done());
    Ok(Copied {
        chunks: manifest.ids().count() as u64,
        moved_chunks: sent.chunks.load(Ordering::Relaxed),
        moved_bytes: sent.bytes.load(Ordering::Relaxed) + bytes,
    })
}
