//! Prepares the pieces that were read for storage: on all processors, in order.

use std::{
    collections::HashSet,
    fs::File,
    io, mem,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{Stream, StreamExt, stream};
use images::image_file::digest::is_zero;
use object_store::PutPayload;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    chunk::{ChunkId, pack},
    reader::{self, Extent, Piece},
};

/// Pieces per task: a task for each piece would cost more than its work.
const BATCH: usize = 16;
/// Batches to read ahead.
const AHEAD: usize = 2;

/// The pieces that each region has or is about to have.
#[derive(Debug, Clone, Default)]
pub(super) struct Present(Arc<Mutex<Vec<HashSet<ChunkId>>>>);

impl Present {
    pub(super) fn new(regions: Vec<HashSet<ChunkId>>) -> Self {
        Self(Arc::new(Mutex::new(regions)))
    }

    /// The regions that lack the piece. From now on they count as having it.
    fn lacking(&self, id: ChunkId) -> Vec<usize> {
        let mut regions: MutexGuard<'_, _> = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lack =
            regions.iter_mut().enumerate().filter_map(|(n, has)| has.insert(id).then_some(n));
        lack.collect()
    }
}

/// A piece that is not all zeros.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) index: u64,
    pub(super) id: ChunkId,
    /// The regions that lack it, and its stored form for them.
    pub(super) wanted: Option<(Vec<usize>, PutPayload)>,
}

/// A batch of prepared pieces, and the progress of the reader.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) pieces: Vec<Prepared>,
    /// Bytes of the guest's disk that were read.
    pub(super) bytes: u64,
}

/// Reads a disk on a thread of its own. The thread ends when the stream is dropped. The handle
/// returns the number of bytes that were read from the file.
pub(super) fn stream(
    disk: &Path,
    extents: Vec<Extent>,
    size: u64,
    present: Present,
) -> (impl Stream<Item = io::Result<Batch>> + use<>, JoinHandle<io::Result<u64>>) {
    let (send, receive) = mpsc::channel(AHEAD);
    let disk = disk.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let file = File::open(disk)?;
        let mut batch = Vec::with_capacity(BATCH);
        let bytes = reader::read(&file, &extents, size, |piece| {
            batch.push(piece);
            batch.len() < BATCH || send.blocking_send(mem::take(&mut batch)).is_ok()
        })?;
        let _ = send.blocking_send(batch);
        Ok(bytes)
    });
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let batches = stream::unfold(receive, async |mut receive: mpsc::Receiver<Vec<Piece>>| {
        receive.recv().await.map(|batch| (batch, receive))
    })
    .map(move |batch| {
        let present = present.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(batch, &present));
        async { prepared.await.map_err(io::Error::other).flatten() }
    })
    .buffered(processors);
    (batches, reading)
}

fn prepare(batch: Vec<Piece>, present: &Present) -> io::Result<Batch> {
    let bytes = batch.iter().map(|(_, content)| content.len() as u64).sum();
    let data = batch.into_iter().filter(|(_, content)| !is_zero(content));
    let pieces = data.map(|(index, content)| {
        let id = ChunkId::of(&content);
        let lacking = present.lacking(id);
        let wanted = match lacking.is_empty() {
            true => None,
            false => Some((lacking, PutPayload::from(pack(&content)?))),
        };
        Ok(Prepared { index, id, wanted })
    });
    Ok(Batch { pieces: pieces.collect::<io::Result<_>>()?, bytes })
}
