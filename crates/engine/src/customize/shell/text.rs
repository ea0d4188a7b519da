//! Removes editor artifacts from a script before the guest gets it: carriage returns at line ends,
//! as Packer does, and a byte order mark in front of `#!`.
//!
//! The fetched file stays unchanged, under its own digest. The step reads, and its key covers, the
//! bytes that are run.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
};

use api::ErrorCode;
use images::{
    error::{Coded, Error, Result},
    run_context::RunContext,
};
use sources::fetch::{self, Fetched};
use vm::off_runtime;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// The script in a form that the guest can run.
///
/// # Errors
/// `failure` for a script that no shell can read: in UTF-16, or with CR alone between its lines.
pub(in crate::customize) async fn text(
    cx: &RunContext,
    sent: Fetched,
    failure: ErrorCode,
) -> Result<Fetched> {
    let path = sent.path.clone();
    let seen = off_runtime(move || EncodingNotes::of(File::open(path)?))
        .await
        .code(ErrorCode::InternalError, || "a fetched script cannot be read".to_owned())?;
    let refuse = |why: &str, hint: &str| Err(Error::new(failure, why.to_owned()).hint(hint));
    if seen.is_utf_16 {
        return refuse("the script is UTF-16, which no shell reads", "save it as UTF-8");
    }
    if seen.carriage_returns && !seen.line_feeds && !seen.zeroes {
        let why = "the script's lines end in carriage returns alone, so it is one line to a shell";
        return refuse(why, "save it with line feeds (LF) at the line ends");
    }
    // In a program, or an archive behind a script, each byte counts: it is not text throughout.
    if seen.zeroes || !seen.crlf && !seen.byte_order_mark {
        return Ok(sent);
    }
    let path = sent.path;
    fetch::made(cx, move |to| rewrite(&path, to)).await
}

/// The properties of a script that matter here.
#[derive(Debug, Default)]
struct EncodingNotes {
    byte_order_mark: bool,
    is_utf_16: bool,
    carriage_returns: bool,
    line_feeds: bool,
    crlf: bool,
    zeroes: bool,
}

impl EncodingNotes {
    fn of(mut from: impl Read) -> io::Result<Self> {
        let mut seen = Self::default();
        let mut buffer = vec![0; 64 << 10];
        let mut head = Vec::new();
        let mut last = 0;
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            for &byte in &buffer[..read] {
                seen.carriage_returns |= byte == b'\r';
                seen.line_feeds |= byte == b'\n';
                seen.crlf |= byte == b'\n' && last == b'\r';
                seen.zeroes |= byte == 0;
                last = byte;
            }
            if head.len() < 5 {
                head.extend_from_slice(&buffer[..read.min(5)]);
            }
        }
        seen.is_utf_16 = UTF_16.iter().any(|mark| head.starts_with(mark));
        seen.byte_order_mark =
            head.strip_prefix(BYTE_ORDER_MARK).is_some_and(|rest| rest.starts_with(b"#!"));
        Ok(seen)
    }
}

/// Writes the script without a byte order mark and with line feeds alone at line ends.
fn rewrite(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = BufReader::new(File::open(from)?);
    let mut to = BufWriter::new(File::create(to)?);
    let mut head = [0; BYTE_ORDER_MARK.len()];
    let read = read_up_to(&mut from, &mut head)?;
    let start = if head[..read] == *BYTE_ORDER_MARK { &[][..] } else { &head[..read] };
    let mut held = false;
    for byte in start.chain(from).bytes() {
        let byte = byte?;
        if held && byte != b'\n' {
            to.write_all(b"\r")?;
        }
        held = byte == b'\r';
        if !held {
            to.write_all(&[byte])?;
        }
    }
    if held {
        to.write_all(b"\r")?;
    }
    to.flush()
}

fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use images::{event::Events, layout::Layout};

    #[tokio::test]
    async fn script_of_any_editor_becomes_readable_for_the_shell() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("cache"), folder.path().join("data"));
        let cx = RunContext::new(layout, Events::none(), CancellationToken::new());
        let run = async |bytes: &[u8]| {
            let sent = fetch::keep(&cx, bytes).await.unwrap();
            let text = text(&cx, sent.clone(), ErrorCode::CustomizerFailed).await?;
            assert_eq!(std::fs::read(&sent.path).unwrap(), bytes, "what was fetched stays");
            assert_eq!(text.path, cx.layout.downloads().join(&text.sha256));
            Ok::<_, Error>(std::fs::read(&text.path).unwrap())
        };
        for (sent, expected) in [
            (&b"#!/bin/bash\r\ntrue\r\n"[..], &b"#!/bin/bash\ntrue\n"[..]),
            (b"#!/bin/bash\ntrue\n", b"#!/bin/bash\ntrue\n"),
            (b"\xef\xbb\xbf#!/bin/sh\necho a\n", b"#!/bin/sh\necho a\n"),
            (b"\xef\xbb\xbf#!/bin/sh\r\necho a", b"#!/bin/sh\necho a"),
            // A carriage return that does not end a line belongs to the script.
            (b"#!/bin/sh\r\nprintf 'a\rb\r'\r\r\n\r", b"#!/bin/sh\nprintf 'a\rb\r'\r\n\r"),
            (b"printf 'a\rb'\n", b"printf 'a\rb'\n"),
            // Not text: an archive behind a script, a program.
            (b"#!/bin/sh\ntail -n +3 $0\n\0\r\n", b"#!/bin/sh\ntail -n +3 $0\n\0\r\n"),
            (b"\x7fELF\0\r\r\n", b"\x7fELF\0\r\r\n"),
            (b"", b""),
        ] {
            assert_eq!(run(sent).await.unwrap(), expected, "{:?}", String::from_utf8_lossy(sent));
        }
        for (sent, says) in [
            (&b"\xff\xfe#\0!\0"[..], "UTF-16"),
            (b"\xfe\xff\0#\0!", "UTF-16"),
            (b"#!/bin/sh\rexit 1\r", "carriage returns alone"),
        ] {
            let error = run(sent).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::CustomizerFailed);
            assert!(error.message.contains(says), "{error}");
        }
    }
}
