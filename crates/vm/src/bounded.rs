//! Limits for everything that a guest sends: how much is kept, and how much there was in all.

use std::ops::ControlFlow;

use async_trait::async_trait;

use crate::guest::{Sink, StreamKind};

/// Counts down what may still be kept, and up what did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    left: u64,
    cut: u64,
}

impl Budget {
    /// So many bytes may be kept.
    pub fn new(limit: u64) -> Self {
        Self { left: limit, cut: 0 }
    }

    /// The same, of which so many are used up already.
    pub fn with_used(limit: u64, used: u64) -> Self {
        Self::new(limit.saturating_sub(used))
    }

    /// Whether a piece of that size still fits as a whole. If it does not, nothing after it does, so
    /// that what is kept is one beginning without holes.
    pub fn admits(&mut self, bytes: u64) -> bool {
        if self.cut == 0 && bytes <= self.left {
            self.left -= bytes;
            return true;
        }
        self.cut = self.cut.saturating_add(bytes);
        false
    }

    /// Bytes that did not fit since this was last asked.
    pub fn take_cut(&mut self) -> u64 {
        let cut = std::mem::take(&mut self.cut);
        if cut > 0 {
            self.left = 0;
        }
        cut
    }
}

/// The beginning of what a guest sent, and the size of all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounded {
    kept: Vec<u8>,
    limit: usize,
    all: u64,
}

impl Bounded {
    /// Keeps up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), limit, all: 0 }
    }

    /// Takes the next piece; `Break` once something did not fit.
    pub fn add(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let room = self.limit - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.all = self.all.saturating_add(bytes.len() as u64);
        if self.cut() == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// What was kept, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }

    /// Bytes that did not fit.
    pub fn cut(&self) -> u64 {
        self.all - self.kept.len() as u64
    }
}

/// A [`Sink`] for commands whose answer is short: the beginning of both streams is kept. A command that
/// writes more is ended.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Standard output.
    pub out: Bounded,
    /// Standard error.
    pub err: Bounded,
}

impl Answer {
    /// Longer than any answer that goldsmith asks a guest for.
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
    fn bounded_keeps_the_beginning_and_counts_the_rest() {
        let mut bounded = Bounded::new(4);
        assert!(bounded.add(b"abc").is_continue());
        assert!(bounded.add(b"def").is_break());
        assert!(bounded.add(&[b'x'; 1000]).is_break());
        assert_eq!((bounded.text().as_str(), bounded.cut()), ("abcd", 1002));
    }

    #[test]
    fn budget_keeps_no_piece_after_the_first_that_did_not_fit() {
        let mut budget = Budget::with_used(10, 4);
        assert!(budget.admits(5));
        assert!(!budget.admits(2));
        assert!(!budget.admits(1), "there would be a hole");
        assert_eq!(budget.take_cut(), 3);
        assert!(!budget.admits(1), "the limit is used up");
        assert_eq!(budget.take_cut(), 1);
    }
}
