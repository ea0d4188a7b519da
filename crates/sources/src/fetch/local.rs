//! Files of this host: copied once, so that a build's input cannot change during the build.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use api::ErrorCode;
use images::{
    error::{io_fault, stopped},
    image_file::space::human,
    run_context::RunContext,
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use vm::{may_wait, off_runtime};

use super::{Failure, Landed};

const CHUNK: usize = 1 << 20;

/// Copies a file to a work folder and hashes it in the process.
pub(super) async fn copy(
    cx: &RunContext,
    from: &Path,
    to: &Path,
    max_bytes: u64,
) -> Result<Landed, Failure> {
    let source = may_wait(|| open(from, max_bytes)).map_err(Failure::there)?;
    let write = |e: io::Error| {
        let doing = format!("copy {}", from.display());
        Failure::Here(io_fault(e, ErrorCode::InternalError, doing))
    };
    let target = may_wait(|| File::create(to)).map_err(write)?;
    // Ends the thread when this future is dropped.
    let cancel = cx.cancel.child_token();
    let _on_drop = cancel.clone().drop_guard();
    off_runtime(move || pump(source, target, max_bytes, &cancel)).await.map_err(write)
}

fn open(path: &Path, max_bytes: u64) -> Result<File, String> {
    let file = File::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => format!("there is no {}", path.display()),
        _ => format!("{} cannot be read: {e}", path.display()),
    })?;
    let metadata = file.metadata().map_err(|e| e.to_string())?;
    if !metadata.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    if metadata.len() > max_bytes {
        return Err(format!("it is larger than {}", human(max_bytes)));
    }
    Ok(file)
}

fn pump(
    mut from: impl Read,
    mut to: impl Write,
    max_bytes: u64,
    cancel: &CancellationToken,
) -> io::Result<Landed> {
    let (mut sha256, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        if cancel.is_cancelled() {
            return Err(stopped());
        }
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if bytes > max_bytes {
            return Err(io::Error::other("it grew while it was read"));
        }
        sha256.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
    Ok(Landed { sha256: hex::encode(sha256.finalize()), sha512: None, bytes })
}

/// SHA-256 and length of a file.
pub(super) async fn digest(path: &Path, cancel: &CancellationToken) -> io::Result<(String, u64)> {
    let (file, size) = may_wait(|| -> io::Result<_> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    })?;
    let cancel = cancel.child_token();
    let _on_drop = cancel.clone().drop_guard();
    let hash = move || images::image_file::digest::hash(&file, size, &cancel, |_| ());
    Ok((off_runtime(hash).await?, size))
}
