//! `Content-Encoding`: goldsmith stores the representation that the author wrote, not the form in
//! which a server stores it. Blob stores send a coded blob as it is, whatever the client accepts.

use std::io::{self, Write};

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use reqwest::{
    Url,
    header::{CONTENT_ENCODING, HeaderMap},
};

/// Coded bytes to decode at a time. Deflate expands them by a factor of about a thousand at most,
/// which limits the memory that a hostile response can take before its size is checked.
pub(super) const PIECE: usize = 4 << 10;

/// Decodes a content coding, piece by piece.
pub(super) enum Decoder {
    /// No coding.
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<ZlibDecoder<Vec<u8>>>),
}

impl Decoder {
    /// The decoder for a response, or why it cannot be decoded.
    pub(super) fn of(headers: &HeaderMap, url: &Url) -> Result<Self, String> {
        let all: Vec<_> = headers.get_all(CONTENT_ENCODING).iter().collect();
        let text: Vec<_> = all.iter().map(|value| value.to_str().unwrap_or("?").trim()).collect();
        let coding = text.join(", ").to_lowercase();
        match coding.as_str() {
            "" | "identity" => Ok(Self::Identity),
            // Some servers derive the coding from the file's extension although the file itself is
            // the archive.
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

    /// The decoded bytes of one more piece, which has at most [`PIECE`] bytes.
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

    /// The rest; an error if the end is missing or invalid.
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
