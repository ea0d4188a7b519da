//! `Content-Encoding`: what is fetched is the representation that the author wrote, not the form in
//! which a server keeps it. Blob stores serve a coded blob coded, whatever a client accepts.

use std::io::{self, Write};

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use reqwest::{
    Url,
    header::{CONTENT_ENCODING, HeaderMap},
};

/// Coded bytes that are decoded at a time: deflate makes at most about a thousand times as many of
/// them, which is what a hostile answer can take of memory before its size is looked at.
pub(super) const PIECE: usize = 4 << 10;

/// Undoes a coding, piece by piece.
pub(super) enum Decoder {
    /// There is none.
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<ZlibDecoder<Vec<u8>>>),
}

impl Decoder {
    /// The decoder for an answer, or the reason why there is none.
    pub(super) fn of(headers: &HeaderMap, url: &Url) -> Result<Self, String> {
        let all: Vec<_> = headers.get_all(CONTENT_ENCODING).iter().collect();
        let text: Vec<_> = all.iter().map(|value| value.to_str().unwrap_or("?").trim()).collect();
        let coding = text.join(", ").to_lowercase();
        match coding.as_str() {
            "" | "identity" => Ok(Self::Identity),
            // Servers that take a file's ending for its coding; the file itself is the archive.
            "gzip" | "x-gzip" if is_archive(url.path()) => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))),
            "deflate" => Ok(Self::Deflate(Box::new(ZlibDecoder::new(Vec::new())))),
            other => Err(format!(
                "the server sends it with Content-Encoding: {other}, which is not decoded here; \
                 serve it without, or as gzip"
            )),
        }
    }

    pub(super) fn is_identity(&self) -> bool {
        matches!(self, Self::Identity)
    }

    /// What can be said after one more piece, which has at most [`PIECE`] bytes.
    pub(super) fn decode(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(piece.to_vec()),
            Self::Gzip(decoder) => {
                decoder.write_all(piece)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Self::Deflate(decoder) => {
                decoder.write_all(piece)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }

    /// The rest; an error if the end is missing or does not fit.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(Vec::new()),
            Self::Gzip(decoder) => decoder.finish(),
            Self::Deflate(decoder) => decoder.finish(),
        }
    }
}

fn is_archive(path: &str) -> bool {
    let path = path.to_lowercase();
    path.ends_with(".gz") || path.ends_with(".tgz")
}
