//! Arrays.

use std::{ops::Deref, sync::Arc};

use super::Value;

/// An array that its clones share. It dereferences to a slice.
#[derive(Debug, Clone)]
pub struct Array(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    items: Vec<Value>,
    weight: u64,
    depth: u32,
}

impl Array {
    /// An array of these values.
    pub fn new(items: Vec<Value>) -> Self {
        let weight = items.iter().fold(2u64, |sum, item| sum.saturating_add(1 + item.weight()));
        let depth = items.iter().map(Value::depth).max().unwrap_or(0).saturating_add(1);
        Self(Arc::new(Shared { items, weight, depth }))
    }

    pub(super) fn weight(&self) -> u64 {
        self.0.weight
    }

    pub(super) fn depth(&self) -> u32 {
        self.0.depth
    }
}

impl Deref for Array {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.0.items
    }
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self[..] == other[..]
    }
}

impl FromIterator<Value> for Array {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        Self::new(items.into_iter().collect())
    }
}
