//! A file through the standard input of PowerShell.

use std::time::Duration;

use api::ErrorCode;
use guests::{Copied, Copying};
use images::{
    digest::digest,
    error::{Coded, Error, Result},
};
use serde_json::json;
use tokio::time::Instant;

use super::Facts;
use crate::bed::{Bed, system};

/// The size of the file, in bytes.
const BYTES: usize = 8 * 1024 * 1024;
const MB: f64 = 1e6;
const LIMIT: Duration = Duration::from_secs(15 * 60);

pub(super) async fn upload(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let begun = Instant::now();
    copy(bed, "upload", r"C:\Windows\Temp\trial-upload.bin", BYTES).await?;
    let seconds = begun.elapsed().as_secs_f64();
    facts.insert("bytes".into(), json!(BYTES));
    facts.insert(
        "megabytesPerSecond".into(),
        json!((BYTES as f64 / MB / seconds * 100.0).round() / 100.0),
    );
    Ok(())
}

/// Copies random bytes into the guest, compares their digest there, and returns it.
pub(super) async fn copy(
    bed: &mut Bed<'_>,
    step: &str,
    destination: &str,
    bytes: usize,
) -> Result<String> {
    let mut content = vec![0; bytes];
    getrandom::fill(&mut content)
        .code(ErrorCode::InternalError, || "the host gives no random numbers".to_owned())?;
    let expected = digest(&content);
    let mut out = bed.output(step)?;
    let live = bed.at().await?;
    let mut reader = content.as_slice();
    let copying = Copying {
        content: &mut reader,
        bytes: bytes as u64,
        path: None,
        destination,
        limit: LIMIT,
    };
    let failed = |why: String| Err(Error::new(ErrorCode::CustomizerFailed, why));
    match system().copy(live.at()?, copying, &mut out).await? {
        Copied::Arrived(digest) if digest == expected => Ok(expected),
        Copied::Arrived(digest) => failed(format!("the file arrived with the digest {digest}")),
        Copied::IsFolder => failed(format!("{destination} is a folder")),
        Copied::Failed(why) => failed(format!("cannot write {destination}: {why}")),
    }
}
