//! A file through the standard input of PowerShell, and one on a CD.

use std::{path::Path, time::Duration};

use api::ErrorCode;
use guests::{Copied, Copying};
use images::{
    digest::digest,
    error::{Coded, Error, Result},
};
use serde_json::json;
use tokio::time::Instant;
use vm::may_wait;

use super::Facts;
use crate::bed::{Bed, cannot_write, system};

/// The sizes of the files, in bytes.
const BYTES: usize = 8 * 1024 * 1024;
const LARGE: usize = 64 * 1024 * 1024;
const MB: f64 = 1e6;
const LIMIT: Duration = Duration::from_secs(15 * 60);

pub(super) async fn upload(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let begun = Instant::now();
    copy(bed, "upload", r"C:\Windows\Temp\trial-upload.bin", BYTES).await?;
    note(facts, BYTES, begun);
    Ok(())
}

pub(super) async fn large(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let content = random(LARGE)?;
    let file = bed.fresh("large");
    may_wait(|| std::fs::write(&file, &content))
        .code(ErrorCode::HostNotReady, || cannot_write(&file))?;
    let begun = Instant::now();
    let destination = r"C:\Windows\Temp\trial-large.bin";
    let copied = send(bed, "large-file", destination, &content, Some(&file)).await;
    let _ = may_wait(|| std::fs::remove_file(&file));
    copied?;
    note(facts, LARGE, begun);
    Ok(())
}

fn note(facts: &mut Facts, bytes: usize, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    facts.insert("bytes".into(), json!(bytes));
    facts.insert(
        "megabytesPerSecond".into(),
        json!((bytes as f64 / MB / seconds * 100.0).round() / 100.0),
    );
}

fn random(bytes: usize) -> Result<Vec<u8>> {
    let mut content = vec![0; bytes];
    getrandom::fill(&mut content)
        .code(ErrorCode::InternalError, || "the host gives no random numbers".to_owned())?;
    Ok(content)
}

/// Copies random bytes into the guest, compares their digest there, and returns it.
pub(super) async fn copy(
    bed: &mut Bed<'_>,
    step: &str,
    destination: &str,
    bytes: usize,
) -> Result<String> {
    send(bed, step, destination, &random(bytes)?, None).await
}

async fn send(
    bed: &mut Bed<'_>,
    step: &str,
    destination: &str,
    content: &[u8],
    path: Option<&Path>,
) -> Result<String> {
    let expected = digest(content);
    let mut out = bed.output(step)?;
    let live = bed.at().await?;
    let mut reader = content;
    let copying = Copying {
        content: &mut reader,
        bytes: content.len() as u64,
        path,
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
