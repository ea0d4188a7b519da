//! Limits streamed responses: events, logs and blobs. Each keeps a file open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The budget.
#[derive(Debug)]
pub(crate) struct Streams {
    all: usize,
    each: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<String, usize>,
}

/// A counted stream; dropping it ends the count.
#[derive(Debug)]
pub(crate) struct Stream {
    open: Arc<Mutex<Open>>,
    principal: String,
}

impl Streams {
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self { all, each, open: Arc::default() }
    }

    /// Counts another stream of a principal, unless a limit is reached.
    pub(crate) fn open(&self, principal: &str) -> Option<Stream> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.of.get(principal).copied().unwrap_or_default();
        if open.all >= self.all || own >= self.each {
            return None;
        }
        open.all += 1;
        open.of.insert(principal.to_owned(), own + 1);
        Some(Stream { open: self.open.clone(), principal: principal.to_owned() })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(own) = open.of.get_mut(&self.principal) {
            *own -= 1;
            if *own == 0 {
                open.of.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principal_at_its_limit_leaves_room_for_others() {
        let streams = Streams::new(3, 2);
        let (one, two) = (streams.open("a").unwrap(), streams.open("a").unwrap());
        assert!(streams.open("a").is_none());
        let other = streams.open("b").unwrap();
        assert!(streams.open("c").is_none());
        drop(one);
        assert!(streams.open("c").is_some());
        drop((two, other));
        assert!(streams.open.lock().unwrap().of.is_empty());
    }
}
