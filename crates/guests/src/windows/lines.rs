//! The standard input of a script: lines, data among them in base64.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use tokio::io::{AsyncRead, ReadBuf};

/// The bytes of a line before they are encoded. A multiple of three, so that only the last line is
/// padded; large, since each line costs PowerShell some time.
const PIECE: usize = 144 * 1024;

/// Reads as the head, a line of base64 for each piece of the data, and the line that says that nothing
/// is missing. Holds one piece at a time.
pub(super) struct Lines<'a> {
    data: Option<&'a mut (dyn AsyncRead + Send + Unpin)>,
    piece: Vec<u8>,
    filled: usize,
    line: Vec<u8>,
    at: usize,
    is_ended: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(head: &str, data: Option<&'a mut (dyn AsyncRead + Send + Unpin)>) -> Self {
        let piece = vec![0; if data.is_some() { PIECE } else { 0 }];
        Self { data, piece, filled: 0, line: head.as_bytes().to_vec(), at: 0, is_ended: false }
    }

    fn encode(&mut self) {
        self.line.clear();
        self.at = 0;
        if self.filled > 0 {
            let text = BASE64.encode(&self.piece[..self.filled]);
            self.line.extend_from_slice(text.as_bytes());
            self.line.push(b'\n');
            self.filled = 0;
        }
        if self.data.is_none() {
            self.line.extend_from_slice(b".\n");
            self.is_ended = true;
        }
    }

    /// Fills the piece, and makes it the next line.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(data) = &mut self.data {
            let mut rest = ReadBuf::new(&mut self.piece[self.filled..]);
            ready!(Pin::new(data).poll_read(cx, &mut rest))?;
            let count = rest.filled().len();
            self.filled += count;
            if count == 0 {
                self.data = None;
            } else if self.filled == self.piece.len() {
                break;
            }
        }
        self.encode();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Lines<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.at == this.line.len() && !this.is_ended {
            ready!(this.poll_line(cx))?;
        }
        let count = buffer.remaining().min(this.line.len() - this.at);
        buffer.put_slice(&this.line[this.at..this.at + count]);
        this.at += count;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn lines(data: &[u8]) -> Vec<String> {
        let mut data = data;
        let mut text = String::new();
        Lines::new("head\n", Some(&mut data)).read_to_string(&mut text).await.unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn data_of_any_size_comes_back_from_its_lines() {
        for size in [0, 1, 2, 3, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5] {
            let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let lines = lines(&data).await;
            assert_eq!(lines.first().unwrap(), "head");
            assert_eq!(lines.last().unwrap(), ".");
            let decode = |line: &String| BASE64.decode(line).unwrap();
            let back: Vec<u8> = lines[1..lines.len() - 1].iter().flat_map(decode).collect();
            assert!(back == data, "{size} bytes");
            assert!(lines.iter().all(|line| line.len() < 256 * 1024));
        }
    }

    #[tokio::test]
    async fn without_data_only_the_end_follows() {
        let mut text = String::new();
        Lines::new("a\nb\n", None).read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "a\nb\n.\n");
    }
}
