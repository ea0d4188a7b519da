//! Images made by others: by URL with a checksum, or a file of this host.

use std::path::Path;

use api::{ErrorCode, uri};
use images::{
    error::{Error, Result, io_fault},
    format::Format,
    image_file::{digest::sha256, space::human},
    run_context::RunContext,
};
use sha2::{Digest, Sha512};
use tokio::io::AsyncReadExt;
use vm::{Host, may_wait};

use super::{
    DISK,
    catalogue::{Checksum, FileImage, Pledge, UrlImage},
    import::{ImageFacts, check, convert_in},
    published::{self, Published},
};
use crate::fetch::{self, Download};

/// A larger file cannot be the intended disk image.
const MAX_BYTES: u64 = 256 << 30;

/// Downloads an image to the work folder, checks it, and converts it to `disk.qcow2`. Returns the
/// concrete version, and the checksum if it came from the publisher's file.
pub(super) async fn download(
    cx: &RunContext,
    host: &Host,
    image: &UrlImage,
    work: &Path,
) -> Result<(String, Option<String>)> {
    let (checksum, version, listed) = match &image.pledge {
        Pledge::Given(checksum) => (checksum.clone(), image.version.clone(), None),
        Pledge::Listed(listing) => {
            let Published { checksum, version } = published::look_up(cx, image, listing).await?;
            let text = checksum.text().to_owned();
            (checksum, version, Some(text))
        }
    };
    let shown = uri::shown(&image.url);
    let to = work.join("download");
    let limits = published::limits(MAX_BYTES, &image.url);
    let job = Download {
        url: &image.url,
        to: &to,
        limits: &limits,
        activity: &format!("Download {shown}"),
        sha512: matches!(checksum, Checksum::Sha512(_)),
    };
    let landed = fetch::download(cx, &job)
        .await
        .map_err(|f| f.coded(ErrorCode::SourceUnavailable, &shown))?;
    let got = match &checksum {
        Checksum::Sha256(_) => landed.sha256,
        Checksum::Sha512(_) => landed.sha512.unwrap_or_default(),
    };
    compare(&shown, &checksum, &got)?;
    let kept = check_and_convert(cx, host, &to, image.format, image.virtual_size, work).await;
    let _ = tokio::fs::remove_file(&to).await;
    kept.map(|()| (version, listed))
}

/// Checks the file and converts a copy of it to `disk.qcow2`.
pub(super) async fn take(
    cx: &RunContext,
    host: &Host,
    image: &FileImage,
    work: &Path,
) -> Result<()> {
    let path = &image.path;
    if !may_wait(|| path.is_file()) {
        let text = format!("the catalogue names {}, which is not there", path.display());
        return Err(Error::new(ErrorCode::SourceUnavailable, text));
    }
    match &image.checksum {
        None => {}
        Some(checksum @ Checksum::Sha256(_)) => {
            let got = sha256(cx, path, "Verify source image").await?;
            compare(&path.display().to_string(), checksum, &got)?;
        }
        Some(checksum @ Checksum::Sha512(_)) => {
            let got = sha512(cx, path).await?;
            compare(&path.display().to_string(), checksum, &got)?;
        }
    }
    check_and_convert(cx, host, path, image.format, image.virtual_size, work).await
}

fn compare(what: &str, expected: &Checksum, got: &str) -> Result<()> {
    if expected.text() == got {
        return Ok(());
    }
    Err(fetch::mismatch(what, expected.name(), expected.text(), got).hint(
        "the checksum is wrong, or the image is not the one that was published: an address that \
             serves another image from time to time needs `checksums` in the catalogue",
    ))
}

async fn check_and_convert(
    cx: &RunContext,
    host: &Host,
    from: &Path,
    format: Format,
    virtual_size: Option<u64>,
    work: &Path,
) -> Result<()> {
    let facts = check(host, from, Some(format)).await?;
    if let Some(stated) = virtual_size {
        check_size(from, &facts, stated)?;
    }
    convert_in(cx, host, from, &facts, &work.join(DISK)).await
}

fn check_size(path: &Path, facts: &ImageFacts, stated: u64) -> Result<()> {
    let relation = match facts.virtual_size.cmp(&stated) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => "smaller",
        std::cmp::Ordering::Greater => "larger",
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (is, says) = (human(facts.virtual_size), human(stated));
    Err(Error::new(
        ErrorCode::BadImage,
        format!("the disk in {name} is {relation} than the catalogue says: {is}, not {says}"),
    )
    .hint("correct virtual-size in the catalogue, or get the right image"))
}

async fn sha512(cx: &RunContext, path: &Path) -> Result<String> {
    let fault = |e| io_fault(e, ErrorCode::SourceUnavailable, format!("read {}", path.display()));
    let mut file = tokio::fs::File::open(path).await.map_err(fault)?;
    let mut hasher = Sha512::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).await.map_err(fault)?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
        if cx.cancel.is_cancelled() {
            return Err(super::canceled());
        }
    }
}
