//! One blob: its properties, and its content or a range of it.

use std::{io::SeekFrom, ops::Range};

use axum::{body::Body, response::Response};
use http::{Method, StatusCode};
use service::{
    App,
    blobs::{Account, Entry, LOGS, VHDS},
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};
use tokio_util::io::ReaderStream;

use super::{Asked, Refusal, http_date};
use crate::http::reply;

/// The size of a read in bytes.
const CHUNK: usize = 256 << 10;

/// GET and HEAD of a blob.
pub(super) async fn answer(
    app: &App,
    asked: &Asked,
    account: &Account,
    container: &str,
    name: &str,
) -> Result<Response, Refusal> {
    let entry = account.find(app, container, name).await?.ok_or_else(Refusal::no_blob)?;
    if let Some(response) = conditions(asked, &entry)? {
        return Ok(response);
    }
    // HEAD ignores ranges.
    let is_get = asked.method == Method::GET;
    let given = asked.header("x-ms-range").or_else(|| asked.header("range"));
    let range = given.filter(|_| is_get).and_then(Wanted::parse);
    let part = match &range {
        None => 0..entry.bytes,
        Some(wanted) => wanted.within(entry.bytes).ok_or_else(Refusal::range)?,
    };
    let length = part.end - part.start;
    let mut response =
        if is_get { content(&entry, part.clone()).await? } else { reply::empty(StatusCode::OK) };
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = part.end.saturating_sub(1);
        reply::set(
            &mut response,
            "content-range",
            &format!("bytes {}-{last}/{}", part.start, entry.bytes),
        );
    }
    reply::set(&mut response, "content-length", &length.to_string());
    facts(&mut response, container, &entry);
    Ok(response)
}

fn facts(response: &mut Response, container: &str, entry: &Entry) {
    let time = http_date(entry.time());
    for (name, value) in [
        ("content-type", content_type(&entry.name)),
        ("etag", &entry.etag()),
        ("last-modified", &time),
        ("x-ms-creation-time", &time),
        ("accept-ranges", "bytes"),
        ("x-ms-blob-type", kind(container, &entry.name)),
        ("x-ms-lease-status", "unlocked"),
        ("x-ms-lease-state", "available"),
        ("x-content-type-options", "nosniff"),
    ] {
        reply::set(response, name, value);
    }
}

/// The type of the content, from the name.
pub(super) fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("log" | "txt" | "sh" | "ps1") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

/// The type of the blob in Azure.
pub(super) fn kind(container: &str, name: &str) -> &'static str {
    match container {
        LOGS => "AppendBlob",
        VHDS if name.ends_with(".vhd") => "PageBlob",
        _ => "BlockBlob",
    }
}

/// The response to a failed conditional request, if any.
fn conditions(asked: &Asked, entry: &Entry) -> Result<Option<Response>, Refusal> {
    let etag = entry.etag();
    let names =
        |list: &str| list.split(',').any(|one| matches!(one.trim(), "*") || one.trim() == etag);
    if asked.header("if-match").is_some_and(|list| !names(list)) {
        return Err(Refusal::condition());
    }
    Ok(asked.header("if-none-match").is_some_and(names).then(|| {
        let mut response = reply::empty(StatusCode::NOT_MODIFIED);
        reply::set(&mut response, "etag", &etag);
        response
    }))
}

/// Exactly these bytes, because a log may grow meanwhile.
async fn content(entry: &Entry, part: Range<u64>) -> Result<Response, Refusal> {
    let open = async {
        let mut file = File::open(&entry.path).await?;
        file.seek(SeekFrom::Start(part.start)).await?;
        std::io::Result::Ok(file.take(part.end - part.start))
    };
    match open.await {
        Ok(file) => Ok(Response::new(Body::from_stream(ReaderStream::with_capacity(file, CHUNK)))),
        // Removed meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Refusal::no_blob()),
        Err(error) => Err(service::blobs::Error::from(error).into()),
    }
}

/// `bytes=…` with one range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Wanted {
    /// Other forms are ignored, as in HTTP.
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
        Some(match (first.trim(), last.trim()) {
            ("", last) => Self::Last(last.parse().ok()?),
            (first, "") => Self::From(first.parse().ok()?),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                if last < first {
                    return None;
                }
                Self::Between(first, last)
            }
        })
    }

    /// The range within a length; `None` if it is empty.
    fn within(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first) => first..length,
            Self::Between(first, last) => first..last.saturating_add(1).min(length),
            Self::Last(count) => length.saturating_sub(count)..length,
        };
        (range.start < range.end).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_limited_to_the_content() {
        let of = |text: &str| Wanted::parse(text).and_then(|wanted| wanted.within(10));
        assert_eq!(of("bytes=0-3"), Some(0..4));
        assert_eq!(of("bytes=4-"), Some(4..10));
        assert_eq!(of("bytes=8-99999999999999999999"), None);
        assert_eq!(of("bytes=8-18446744073709551615"), Some(8..10));
        assert_eq!(of("bytes=-4"), Some(6..10));
        assert_eq!(of("bytes=-40"), Some(0..10));
        for none in ["bytes=10-", "bytes=-0"] {
            assert!(Wanted::parse(none).is_some() && of(none).is_none(), "{none}");
        }
        for other in ["bytes=3-1", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes="] {
            assert_eq!(Wanted::parse(other), None, "{other}");
        }
    }
}
