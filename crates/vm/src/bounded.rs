//! Limits for guest output: how many bytes are stored, and how many were dropped.

use std::ops::ControlFlow;

use async_trait::async_trait;

use crate::guest::{Sink, StreamKind};

/// A byte budget that also counts the bytes that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    left: u64,
    cut: u64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { left: limit, cut: 0 }
    }

    /// A budget of `limit` bytes of which `used` are spent.
    pub fn with_used(limit: u64, used: u64) -> Self {
        Self::new(limit.saturating_sub(used))
    }

    /// Whether a piece of that size fits as a whole. After the first piece that does not fit, every
    /// piece is rejected, so that the accepted output is a prefix without gaps.
    pub fn admits(&mut self, bytes: u64) -> bool {
        if self.cut == 0 && bytes <= self.left {
            self.left -= bytes;
            return true;
        }
        self.cut = self.cut.saturating_add(bytes);
        false
    }

    /// Bytes that did not fit since the previous call.
    pub fn take_cut(&mut self) -> u64 {
        let cut = std::mem::take(&mut self.cut);
        if cut > 0 {
            self.left = 0;
        }
        cut
    }
}

/// The first bytes of a stream, and the size of the whole stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounded {
    prefix: Vec<u8>,
    limit: usize,
    total: u64,
}

impl Bounded {
    /// Stores up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { prefix: Vec::new(), limit, total: 0 }
    }

    /// Adds the next piece. Returns `Break` once a byte did not fit.
    pub fn add(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let room = self.limit - self.prefix.len();
        self.prefix.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.total = self.total.saturating_add(bytes.len() as u64);
        if self.cut() == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// The stored bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.prefix).into_owned()
    }

    /// Bytes that did not fit.
    pub fn cut(&self) -> u64 {
        self.total - self.prefix.len() as u64
    }
}

/// A [`Sink`] for commands with short output. It ends a command that writes more than the limit.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Standard output.
    pub out: Bounded,
    /// Standard error.
    pub err: Bounded,
}

impl Answer {
    /// Longer than any answer that goldsmith expects from a guest.
    const LIMIT: usize = 64 * 1024;
}

impl Default for Answer {
    fn default() -> Self {
        Self { out: Bounded::new(Self::LIMIT), err: Bounded::new(Self::LIMIT) }
    }
}

#[async_trait]
impl Sink for Answer {
    async fn take(&mut self, stream: StreamKind, bytes: &[u8]) -> ControlFlow<()> {
        match stream {
            StreamKind::Out => self.out.add(bytes),
            StreamKind::Err => self.err.add(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_stores_the_beginning_and_counts_the_rest() {
        let mut bounded = Bounded::new(4);
        assert!(bounded.add(b"abc").is_continue());
        assert!(bounded.add(b"def").is_break());
        assert!(bounded.add(&[b'x'; 1000]).is_break());
        assert_eq!((bounded.text().as_str(), bounded.cut()), ("abcd", 1002));
    }

    #[test]
    fn budget_rejects_all_pieces_after_the_first_that_does_not_fit() {
        let mut budget = Budget::with_used(10, 4);
        assert!(budget.admits(5));
        assert!(!budget.admits(2));
        assert!(!budget.admits(1), "the output would have a gap");
        assert_eq!(budget.take_cut(), 3);
        assert!(!budget.admits(1), "the limit is used up");
        assert_eq!(budget.take_cut(), 1);
    }
}
