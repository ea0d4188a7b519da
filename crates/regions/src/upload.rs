//! Uploads a VHD to an object store in parts. The object appears when the upload is completed.
//!
//! Object stores retain the parts of an incomplete upload, and S3 bills them. So an [`Upload`] that
//! is dropped before its completion is aborted, whether by an error, a cancel or a deadline. The
//! run waits for the abort before it ends (`RunContext::afterwards`).

use super::place::reason;
use api::ErrorCode;
use images::{
    error::{Error, Result},
    event::Activity,
    image_file::{artifact::Artifact, digest::Sparse},
    run_context::RunContext,
};
use object_store::{
    Attribute, Attributes, GetOptions, MultipartUpload, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutPayload, path::Path as Key,
};
use tokio::{fs::File, io::AsyncReadExt, runtime::Handle, task::spawn_blocking};

/// The minimum size of a part.
const PART: u64 = 16 << 20;
/// S3's maximum number of parts per upload.
const MOST_PARTS: u64 = 10_000;
const MIB: u64 = 1 << 20;
/// The metadata key of the object's sparse digest. S3 and Azure both accept a plain word as a key.
const DIGEST: &str = "sparsesha256";

/// Writes the VHD, unless it exists, and its description beside it. `path` consists of the
/// container, the folders and the name.
///
/// # Errors
/// `DistributeFailed`, with the store's error.
pub async fn write(
    cx: &RunContext,
    store: &dyn ObjectStore,
    path: impl Into<Key>,
    vhd: &Artifact,
    description: Option<Vec<u8>>,
) -> Result<()> {
    let key = &path.into();
    let fault = |key: &Key, why: String| {
        let text = format!("the blob {key} cannot be written: {why}");
        Error::new(ErrorCode::DistributeFailed, text)
    };
    if !is_there(store, key, vhd).await {
        upload(cx, store, key, vhd).await.map_err(|why| fault(key, why))?;
    }
    if let Some(description) = description {
        let beside = Key::parse(format!("{key}.json")).map_err(|e| fault(key, e.to_string()))?;
        let put = store.put(&beside, description.into()).await;
        put.map_err(|e| fault(&beside, reason(&e)))?;
    }
    Ok(())
}

async fn is_there(store: &dyn ObjectStore, key: &Key, vhd: &Artifact) -> bool {
    let head = GetOptions { head: true, ..GetOptions::default() };
    let there = store.get_opts(key, head).await;
    there.is_ok_and(|there| {
        let digest = there.attributes.get(&Attribute::Metadata(DIGEST.into()));
        digest.is_some_and(|digest| **digest == *vhd.digest.hex())
    })
}

async fn upload(
    cx: &RunContext,
    store: &dyn ObjectStore,
    key: &Key,
    vhd: &Artifact,
) -> Result<(), String> {
    let digest = (Attribute::Metadata(DIGEST.into()), vhd.digest.hex().to_owned());
    let attributes = Attributes::from_iter([digest]);
    let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
    let parts = store.put_multipart_opts(key, options).await.map_err(|e| reason(&e))?;
    let mut upload = Upload { parts: Some(parts), key: key.clone(), cx: cx.clone() };
    let activity = cx.events.transfer(format!("upload {key}"));
    upload.send(vhd, &activity).await?;
    drop(activity);
    cx.confirm_ownership().await.map_err(|error| error.message)?;
    upload.complete().await
}

/// The part size for `total` bytes. The last part may be smaller.
fn part_size(total: u64) -> u64 {
    total.div_ceil(MOST_PARTS).next_multiple_of(MIB).max(PART)
}

/// An upload that has begun.
struct Upload {
    /// `None` once it is completed.
    parts: Option<Box<dyn MultipartUpload>>,
    key: Key,
    cx: RunContext,
}

impl Upload {
    async fn send(&mut self, vhd: &Artifact, activity: &Activity) -> Result<(), String> {
        let text = |e: std::io::Error| e.to_string();
        let Some(parts) = &mut self.parts else { return Ok(()) };
        let mut file = File::open(&vhd.path).await.map_err(text)?;
        let total = file.metadata().await.map_err(text)?.len();
        let size = part_size(total);
        let mut sent = Sparse::new(total);
        let mut done = 0;
        while done < total {
            let length = size.min(total - done);
            let mut part = vec![0; usize::try_from(length).map_err(|e| e.to_string())?];
            file.read_exact(&mut part).await.map_err(text)?;
            // Parts are whole MiB, except the last one.
            let hash = move || {
                for (number, content) in (done / MIB..).zip(part.chunks(1 << 20)) {
                    sent.add(number, content);
                }
                (part, sent)
            };
            let part;
            (part, sent) = spawn_blocking(hash).await.map_err(|e| e.to_string())?;
            parts.put_part(PutPayload::from(part)).await.map_err(|e| reason(&e))?;
            done += length;
            activity.progress(done, Some(total));
        }
        // An incomplete upload is never visible.
        if sent.finish() != vhd.digest.hex() {
            return Err(format!("{} was damaged on the way", vhd.path.display()));
        }
        Ok(())
    }

    async fn complete(mut self) -> Result<(), String> {
        if let Some(parts) = &mut self.parts {
            parts.complete().await.map_err(|e| reason(&e))?;
        }
        self.parts = None;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(mut parts), Ok(runtime)) = (self.parts.take(), Handle::try_current()) else {
            return;
        };
        let (key, events) = (self.key.clone(), self.cx.events.clone());
        let abort = async move {
            if let Err(e) = parts.abort().await {
                events.warn(format!(
                    "parts of the unfinished upload {key} may stay in the object store: {}",
                    reason(&e)
                ));
            }
        };
        self.cx.afterwards.spawn_on(abort, &runtime);
    }
}

#[cfg(test)]
mod tests;
