//! A publisher's own checksum file, read when the image is fetched. It allows images in the
//! catalogue whose content changes from time to time.
//!
//! The parser understands the lines of `sha256sum` and `sha512sum`, those of BSD (`SHA256 (name) =
//! …`), and a file that contains only the checksum of one image. It ignores other lines, including
//! signatures: the trust rests on the https connection to the publisher.

use std::fmt::Write as _;

use api::{ErrorCode, uri};
use images::{
    error::{Error, Result, io_fault},
    run_context::RunContext,
};
use jiff::Timestamp;

use super::{
    bootstrap,
    catalogue::{Checksum, Listing, UrlImage},
    source_cache,
};
use crate::fetch::{self, Download, Guard, Limits};

/// A larger file cannot be a checksum file.
const MAX_BYTES: u64 = 1 << 20;
/// How many of the names in a file an error lists.
const NEAR: usize = 5;

/// The current publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) checksum: Checksum,
    /// The concrete version.
    pub(super) version: String,
}

/// Fetches the publisher's file and looks the image up in it.
///
/// # Errors
/// `SourceUnavailable`: the file cannot be fetched, or does not name the image. `Canceled`.
pub(super) async fn look_up(
    cx: &RunContext,
    image: &UrlImage,
    listing: &Listing,
) -> Result<Published> {
    let text = fetch_text(cx, &listing.url).await?;
    let lines = lines(&text);
    let checksum = find(&lines, file_name(&image.url), file_name(&listing.url))
        .map_err(|why| unusable(image, listing, &lines, &why))?;
    let version = match &listing.rolling {
        None => image.version.clone(),
        Some(pattern) => pattern
            .as_ref()
            .and_then(|(before, after)| version_in_name(&lines, &checksum, before, after))
            .unwrap_or_else(|| bootstrap::version(&image.version, Timestamp::now())),
    };
    Ok(Published { checksum, version })
}

/// The administrator writes the catalogue, so its hosts are allowed at any address. Redirects to
/// any other host that is not public are rejected.
pub(super) fn limits(max_bytes: u64, url: &str) -> Limits {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    Limits { max_bytes, guard: Guard::only(host), ..Limits::default() }
}

async fn fetch_text(cx: &RunContext, url: &str) -> Result<String> {
    let work = source_cache::work_folder(cx)?;
    let to = work.path().join("checksums");
    let job = Download {
        url,
        to: &to,
        limits: &limits(MAX_BYTES, url),
        activity: &format!("Download {}", uri::shown(url)),
        sha512: false,
    };
    fetch::download(cx, &job)
        .await
        .map_err(|f| f.coded(ErrorCode::SourceUnavailable, &uri::shown(url)))?;
    let bytes = tokio::fs::read(&to).await.map_err(|e| {
        io_fault(e, ErrorCode::InternalError, "read the publisher's checksums".to_owned())
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One line with a checksum.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    /// Without folders; `None` if the line contains only the checksum.
    name: Option<&'a str>,
    checksum: Checksum,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    text.lines().filter_map(|line| bsd(line.trim()).or_else(|| coreutils(line.trim()))).collect()
}

/// `SHA256 (name) = digest`
fn bsd(line: &str) -> Option<Line<'_>> {
    let (kind, rest) = line.split_once(" (")?;
    let (name, hex) = rest.rsplit_once(") = ")?;
    let checksum = Checksum::of_hex(hex.trim())?;
    let kind_fits = match &checksum {
        Checksum::Sha256(_) => kind.eq_ignore_ascii_case("SHA256"),
        Checksum::Sha512(_) => kind.eq_ignore_ascii_case("SHA512"),
    };
    kind_fits.then_some(Line { name: Some(file_name(name)), checksum })
}

/// `digest  name`, `digest *name`, or the digest alone
fn coreutils(line: &str) -> Option<Line<'_>> {
    let (hex, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let checksum = Checksum::of_hex(hex)?;
    let name = name.trim_start();
    let name = name.strip_prefix('*').unwrap_or(name);
    Some(Line { name: (!name.is_empty()).then(|| file_name(name)), checksum })
}

/// The part after the last slash, without a query.
fn file_name(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// The checksum of the image with that name; the longer kind if there are both.
fn find(lines: &[Line<'_>], image: &str, file: &str) -> Result<Checksum, String> {
    let mut own: Vec<&Checksum> =
        lines.iter().filter(|line| line.name == Some(image)).map(|line| &line.checksum).collect();
    // `image.qcow2.sha256` is about that image, whatever name it contains.
    let own_file = file.strip_prefix(image).is_some_and(|rest| rest.starts_with('.'));
    if let ([], true, [only]) = (own.as_slice(), own_file, lines) {
        own.push(&only.checksum);
    }
    own.sort_by_key(|checksum| std::cmp::Reverse(checksum.text().len()));
    own.dedup();
    match own.as_slice() {
        [] => Err(format!("does not name {image}")),
        [first, second, ..] if first.text().len() == second.text().len() => {
            Err(format!("names {image} twice, with different checksums"))
        }
        [first, ..] => Ok((*first).clone()),
    }
}

/// The version in another name of the same content.
fn version_in_name(
    lines: &[Line<'_>],
    checksum: &Checksum,
    before: &str,
    after: &str,
) -> Option<String> {
    let plain = |text: &&str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let same = lines.iter().filter(|line| line.checksum == *checksum);
    same.filter_map(|line| line.name?.strip_prefix(before)?.strip_suffix(after))
        .find(plain)
        .map(str::to_owned)
}

fn unusable(image: &UrlImage, listing: &Listing, lines: &[Line<'_>], why: &str) -> Error {
    let mut text = format!("{} {why}", uri::shown(&listing.url));
    if lines.is_empty() {
        let _ = write!(text, ": it has no SHA-256 or SHA-512 at all");
    }
    let names = lines.iter().filter_map(|line| line.name).take(NEAR);
    Error::new(ErrorCode::SourceUnavailable, text)
        .details(names.map(|name| format!("it names {name}")))
        .hint(format!(
            "the publisher may have moved {}: correct url and checksums in an entry of your own \
             catalogue",
            file_name(&image.url)
        ))
}

#[cfg(test)]
mod tests;
