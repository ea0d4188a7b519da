//! Limits the bytes of request bodies in memory, for the whole process.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of the budget in bytes.
const BLOCK: usize = 16 * 1024;

/// The budget.
#[derive(Debug)]
pub(crate) struct Bodies {
    blocks: Arc<Semaphore>,
}

/// A share of the budget, released when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    blocks: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    count: usize,
}

impl Bodies {
    pub(crate) fn new(mib: usize) -> Self {
        let blocks = mib.saturating_mul(1024 * 1024 / BLOCK).min(Semaphore::MAX_PERMITS);
        Self { blocks: Arc::new(Semaphore::new(blocks)) }
    }

    /// An empty share for a new body.
    pub(crate) fn share(&self) -> Share {
        Share { blocks: self.blocks.clone(), permit: None, count: 0 }
    }
}

impl Share {
    /// Grows the share to a number of bytes; `false` if the budget is used up.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let wanted = bytes.div_ceil(BLOCK);
        let Some(more) = wanted.checked_sub(self.count).filter(|more| *more > 0) else {
            return true;
        };
        let Ok(count) = u32::try_from(more) else { return false };
        let Ok(permit) = self.blocks.clone().try_acquire_many_owned(count) else { return false };
        match &mut self.permit {
            Some(own) => own.merge(permit),
            None => self.permit = Some(permit),
        }
        self.count = wanted;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_body_is_available_again_after_its_end() {
        let bodies = Bodies::new(1);
        let (mut one, mut other) = (bodies.share(), bodies.share());
        assert!(one.grow(1) && one.grow(700_000) && one.grow(700_000));
        assert!(other.grow(300_000) && !other.grow(400_000));
        drop(one);
        assert!(other.grow(1024 * 1024) && !other.grow(1024 * 1024 + 1));
    }
}
