use std::{
    fmt, fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use images::{digest::Kind, event::Events, image_file::digest, layout::Layout, step::Step};
use object_store::{
    CopyOptions, GetResult, ListResult, ObjectMeta, PutOptions, PutResult, Result as Stored,
    UploadPart, memory::InMemory,
};
use tempfile::TempDir;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::*;

/// The outcome of an upload.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Fine,
    /// The second part fails.
    BadPart,
    /// The second part never gets an answer.
    HangingPart,
    /// All parts arrive, but their completion fails.
    BadEnd,
}

/// The requests to the store.
#[derive(Debug, Default)]
struct Requests {
    parts: Mutex<Vec<usize>>,
    /// How each upload ended.
    ends: Mutex<Vec<&'static str>>,
    hanging: Notify,
}

/// A store in memory that records uploads and can fail them.
#[derive(Debug)]
struct Recording {
    inner: InMemory,
    fate: Fate,
    requests: Arc<Requests>,
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("recording")
    }
}

#[derive(Debug)]
struct RecordingUpload {
    inner: Box<dyn MultipartUpload>,
    fate: Fate,
    requests: Arc<Requests>,
}

fn broken() -> object_store::Error {
    object_store::Error::Generic { store: "recording", source: "it broke".into() }
}

#[async_trait]
impl MultipartUpload for RecordingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let mut parts = self.requests.parts.lock().unwrap();
        parts.push(data.content_length());
        match self.fate {
            Fate::BadPart if parts.len() == 2 => Box::pin(async { Err(broken()) }),
            Fate::HangingPart if parts.len() == 2 => {
                self.requests.hanging.notify_one();
                Box::pin(std::future::pending())
            }
            _ => self.inner.put_part(data),
        }
    }

    async fn complete(&mut self) -> Stored<PutResult> {
        if self.fate == Fate::BadEnd {
            return Err(broken());
        }
        self.requests.ends.lock().unwrap().push("completed");
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Stored<()> {
        // A caller that does not wait for the abort does not see it.
        tokio::task::yield_now().await;
        self.requests.ends.lock().unwrap().push("aborted");
        self.inner.abort().await
    }
}

#[async_trait]
impl ObjectStore for Recording {
    async fn put_opts(&self, at: &Key, data: PutPayload, opts: PutOptions) -> Stored<PutResult> {
        self.inner.put_opts(at, data, opts).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Key,
        opts: PutMultipartOptions,
    ) -> Stored<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(at, opts).await?;
        Ok(Box::new(RecordingUpload { inner, fate: self.fate, requests: self.requests.clone() }))
    }

    async fn get_opts(&self, at: &Key, opts: GetOptions) -> Stored<GetResult> {
        self.inner.get_opts(at, opts).await
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, Stored<Key>>,
    ) -> BoxStream<'static, Stored<Key>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Stored<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Stored<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, opts: CopyOptions) -> Stored<()> {
        self.inner.copy_opts(from, to, opts).await
    }
}

/// A VHD of two full parts and a remainder, and a store to upload it to.
struct Bench {
    _dir: TempDir,
    cx: RunContext,
    vhd: Artifact,
    store: Recording,
}

fn bench(fate: Fate) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
    let path = dir.path().join("disk.vhd");
    fs::File::create(&path).unwrap().set_len(2 * PART + 512).unwrap();
    let file = fs::File::open(&path).unwrap();
    let digest = digest::of_file(&file, Kind::Sparse, &CancellationToken::new(), |_| ()).unwrap();
    let vhd = Artifact { path, digest, virtual_size: 2 * PART };
    Bench {
        _dir: dir,
        cx: RunContext::new(layout, Events::none(), CancellationToken::new()),
        vhd,
        store: Recording { inner: InMemory::new(), fate, requests: Arc::default() },
    }
}

impl Bench {
    /// As in a run: in a step, and at the end it waits for the cleanup.
    async fn write(&self) -> Result<()> {
        let description = Some(b"{\"tags\":{}}".to_vec());
        let work = write(&self.cx, &self.store, "vhds/web.vhd", &self.vhd, description);
        let written = self.cx.step(Step::Distribute, "distribute", work).await;
        assert!(self.cx.settled(Duration::from_secs(5)).await, "it has an end");
        written
    }

    fn ends(&self) -> Vec<&'static str> {
        self.store.requests.ends.lock().unwrap().clone()
    }

    async fn names(&self) -> Vec<String> {
        let listed = self.store.list_with_delimiter(Some(&Key::from("vhds"))).await.unwrap();
        listed.objects.into_iter().map(|object| object.location.to_string()).collect()
    }
}

#[tokio::test]
async fn vhd_is_uploaded_in_parts_before_its_description() {
    let bench = bench(Fate::Fine);
    bench.write().await.unwrap();
    let part = usize::try_from(PART).unwrap();
    assert_eq!(*bench.store.requests.parts.lock().unwrap(), [part, part, 512]);
    assert_eq!(bench.names().await, ["vhds/web.vhd", "vhds/web.vhd.json"]);
    let beside = bench.store.get(&Key::from("vhds/web.vhd.json")).await.unwrap();
    assert_eq!(beside.bytes().await.unwrap(), "{\"tags\":{}}");
    // An existing object is not sent again.
    bench.write().await.unwrap();
    assert_eq!(bench.ends(), ["completed"]);
}

#[tokio::test]
async fn failed_upload_is_aborted() {
    for fate in [Fate::BadPart, Fate::BadEnd] {
        let bench = bench(fate);
        let error = bench.write().await.unwrap_err();
        assert_eq!(error.code, ErrorCode::DistributeFailed);
        assert!(error.message.contains("vhds/web.vhd") && error.message.contains("it broke"));
        assert_eq!(bench.ends(), ["aborted"], "{fate:?}");
        assert!(bench.names().await.is_empty());
    }
}

#[tokio::test]
async fn canceled_upload_is_aborted() {
    let bench = bench(Fate::HangingPart);
    let cancel = async {
        bench.store.requests.hanging.notified().await;
        bench.cx.cancel.cancel();
    };
    let (written, ()) = tokio::join!(bench.write(), cancel);
    assert_eq!(written.unwrap_err().code, ErrorCode::Canceled);
    assert_eq!(bench.ends(), ["aborted"]);
}

#[tokio::test(start_paused = true)]
async fn timed_out_upload_is_aborted() {
    let mut bench = bench(Fate::HangingPart);
    bench.cx.deadline = Some(Instant::now() + Duration::from_secs(60));
    let error = bench.write().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::BuildTimeout);
    assert_eq!(bench.ends(), ["aborted"]);
}

#[test]
fn part_count_stays_within_the_store_limit() {
    for gib in [1, 156, 157, 500, 2040] {
        let total = (gib << 30) + 512;
        let size = part_size(total);
        assert!(total.div_ceil(size) <= MOST_PARTS, "{gib} GiB in parts of {size}");
        assert_eq!(size % MIB, 0);
    }
    assert_eq!(part_size(1), PART);
    assert_eq!(part_size((2040 << 30) + 512), 209 * MIB);
}
