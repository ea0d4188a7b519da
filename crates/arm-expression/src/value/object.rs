//! Objects.

use std::{collections::HashMap, sync::Arc};

use super::{Value, fold_name, same_name};

/// Above this number of keys, a look-up goes through an index.
const INDEXED: usize = 12;

/// An object that its clones share. It keeps the order of insertion and may hold keys that differ in case only.
#[derive(Debug, Clone, Default)]
pub struct Object(Arc<Shared>);

#[derive(Debug, Clone, Default)]
struct Shared {
    members: Vec<(Arc<str>, Value)>,
    /// The places of the keys by folded name; filled above [`INDEXED`] keys.
    index: HashMap<Box<str>, Vec<usize>>,
    weight: u64,
    depth: u32,
}

impl Object {
    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.0.members.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.members.is_empty()
    }

    /// Keys and values in the order of insertion.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Value)> + DoubleEndedIterator {
        self.0.members.iter().map(|(key, value)| (key, value))
    }

    /// The keys in the order of insertion.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.0.members.iter().map(|(key, _)| key)
    }

    /// The values in the order of insertion.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.0.members.iter().map(|(_, value)| value)
    }

    /// The value of a key: of exactly this key, or else of the first that differs in case only.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.find(key).map(|at| &self.0.members[at].1)
    }

    /// The key as the object spells it; see [`get`](Self::get).
    pub fn key(&self, key: &str) -> Option<&Arc<str>> {
        self.find(key).map(|at| &self.0.members[at].0)
    }

    /// The value of exactly this key.
    pub fn get_exact(&self, key: &str) -> Option<&Value> {
        self.find_exact(key).map(|at| &self.0.members[at].1)
    }

    /// Sets the value of exactly this key. A new key becomes the last one.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: Value) {
        let key = key.into();
        match self.find_exact(&key) {
            Some(at) => self.replace(at, value),
            None => self.append(key, value),
        }
    }

    /// Sets the value of the key without regard to case, which keeps its spelling. A new key becomes the last one.
    pub fn insert_any_case(&mut self, key: impl Into<Arc<str>>, value: Value) {
        let key = key.into();
        match self.find(&key) {
            Some(at) => self.replace(at, value),
            None => self.append(key, value),
        }
    }

    fn replace(&mut self, at: usize, value: Value) {
        let shared = Arc::make_mut(&mut self.0);
        shared.depth = shared.depth.max(value.depth());
        let old = std::mem::replace(&mut shared.members[at].1, value);
        let new = shared.members[at].1.weight();
        shared.weight = shared.weight.saturating_sub(old.weight()).saturating_add(new);
    }

    fn append(&mut self, key: Arc<str>, value: Value) {
        let shared = Arc::make_mut(&mut self.0);
        shared.depth = shared.depth.max(value.depth());
        shared.weight = shared.weight.saturating_add(4 + key.len() as u64 + value.weight());
        shared.members.push((key, value));
        let last = shared.members.len() - 1;
        if last == INDEXED {
            for at in 0..=last {
                shared.index_member(at);
            }
        } else if last > INDEXED {
            shared.index_member(last);
        }
    }

    fn find(&self, key: &str) -> Option<usize> {
        self.find_exact(key).or_else(|| {
            if self.0.index.is_empty() {
                return self.0.members.iter().position(|(other, _)| same_name(other, key));
            }
            self.0.index.get(&*fold_name(key)).and_then(|places| places.first().copied())
        })
    }

    fn find_exact(&self, key: &str) -> Option<usize> {
        let members = &self.0.members;
        if self.0.index.is_empty() {
            return members.iter().position(|(other, _)| **other == *key);
        }
        let places = self.0.index.get(&*fold_name(key))?;
        places.iter().copied().find(|at| *members[*at].0 == *key)
    }

    pub(super) fn weight(&self) -> u64 {
        self.0.weight.saturating_add(2)
    }

    pub(super) fn depth(&self) -> u32 {
        self.0.depth.saturating_add(1)
    }
}

impl Shared {
    fn index_member(&mut self, at: usize) {
        let folded = fold_name(&self.members[at].0).into_owned().into_boxed_str();
        self.index.entry(folded).or_default().push(at);
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || self.len() == other.len()
                && self.iter().all(|(key, value)| other.get_exact(key) == Some(value))
    }
}

impl<K: Into<Arc<str>>> FromIterator<(K, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(members: I) -> Self {
        let mut object = Self::new();
        for (key, value) in members {
            object.insert(key, value);
        }
        object
    }
}
