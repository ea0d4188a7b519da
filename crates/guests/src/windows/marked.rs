//! The output of a job of goldsmith's own, in which lines for goldsmith are among the others.

use std::ops::ControlFlow;

use async_trait::async_trait;
use vm::{Sink, StreamKind};

use crate::output::StepOutput;

/// A longer line is no line of goldsmith's.
const LINE: usize = 16 * 1024;

/// Takes goldsmith's lines out of the output, which it passes on.
pub(super) struct Marked<'a, F> {
    prefix: String,
    out: &'a mut StepOutput,
    /// Gets such a line without its mark. What it returns is shown instead.
    ours: F,
    partial: Vec<u8>,
}

impl<'a, F: FnMut(&str) -> Option<String> + Send> Marked<'a, F> {
    pub(super) fn new(mark: &str, out: &'a mut StepOutput, ours: F) -> Self {
        Self { prefix: format!("{mark} "), out, ours, partial: Vec::new() }
    }

    async fn line(&mut self) -> ControlFlow<()> {
        let line = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&line);
        let Some(ours) = text.strip_prefix(&self.prefix) else {
            return self.out.take(StreamKind::Out, &line).await;
        };
        match (self.ours)(ours.trim_end()) {
            None => ControlFlow::Continue(()),
            Some(words) => self.out.take(StreamKind::Out, format!("{words}\n").as_bytes()).await,
        }
    }
}

#[async_trait]
impl<F: FnMut(&str) -> Option<String> + Send> Sink for Marked<'_, F> {
    async fn take(&mut self, _: StreamKind, bytes: &[u8]) -> ControlFlow<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() > LINE {
                self.line().await?;
            }
        }
        ControlFlow::Continue(())
    }
}
