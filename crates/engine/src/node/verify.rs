//! Whether the files of nodes are what was sealed.
//!
//! `node.json` has the sparse digest of each file beside it, made when the node was published, behind the next step's
//! back. Whoever goes on from a node reads its chain first, but for what was read lately ([`Verified`]). Nodes of an
//! earlier goldsmith have no digests and are used as they are, until they go.

use std::{fs, io};

use images::{
    digest::{Digest, Key},
    image_file::verified::Verified,
};
use tokio_util::sync::CancellationToken;

use super::{Node, NodeStore, Parent};

/// The file with the RAM: where it is damaged, the node's disk still boots.
pub(super) const RAM: &str = "ram";

impl Node {
    /// The files of this node, and what each must have.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = (&str, Digest)> {
        self.meta.files.iter().map(|(name, hex)| (name.as_str(), Digest::Sparse(hex.clone())))
    }

    /// The first file, but for the RAM, that is not what was sealed. May take long; do it off the runtime.
    fn damage(
        &self,
        verified: &Verified,
        cancel: &CancellationToken,
    ) -> io::Result<Option<String>> {
        for (name, digest) in self.sealed().filter(|(name, _)| *name != RAM) {
            if !verified.check(&self.file(name), &digest, cancel, |_| {})? {
                return Ok(Some(name.to_owned()));
            }
        }
        Ok(None)
    }

    /// Whether the RAM is what was saved. RAM that is not is removed: the node can do without. May take long; do it
    /// off the runtime.
    pub(crate) fn check_ram(
        &self,
        verified: &Verified,
        cancel: &CancellationToken,
    ) -> io::Result<bool> {
        let Some((_, digest)) = self.sealed().find(|(name, _)| *name == RAM) else {
            return Ok(true);
        };
        let path = self.file(RAM);
        if !path.exists() || verified.check(&path, &digest, cancel, |_| {})? {
            return Ok(true);
        }
        fs::remove_file(path)?;
        Ok(false)
    }
}

impl NodeStore {
    /// Removes what a damaged file of a node makes useless: the RAM alone, or the node and those upon it.
    pub(crate) fn evict_damaged(&self, node: &Node, file: &str) -> io::Result<bool> {
        if file == RAM {
            fs::remove_file(node.file(RAM))?;
            return Ok(true);
        }
        self.remove_with_children(&node.meta.key)
    }
}

/// A node that is not what was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub key: Key,
    pub file: String,
}

impl NodeStore {
    /// The first node of the chain that ends with `node` whose files are not what was sealed, from the source on. May
    /// take long; do it off the runtime.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn damage(&self, node: &Node, cancel: &CancellationToken) -> io::Result<Option<Damage>> {
        let verified = Verified::new(&self.layout);
        let mut chain = vec![node.clone()];
        while let Some(Parent::Node(key)) = chain.last().map(|node| node.meta.parent.clone()) {
            match self.get(&key)? {
                Some(parent) => chain.push(parent),
                // Evicted while we looked: then it is found out when it is used.
                None => break,
            }
        }
        for node in chain.iter().rev() {
            if let Some(file) = node.damage(&verified, cancel)? {
                return Ok(Some(Damage { key: node.meta.key.clone(), file }));
            }
        }
        Ok(None)
    }

    /// Removes a node and all that stand on it, unless one of them is in use (`false`).
    ///
    /// # Errors
    /// A folder cannot be removed.
    pub fn remove_with_children(&self, key: &Key) -> io::Result<bool> {
        let Some(node) = self.get(key)? else { return Ok(true) };
        for child in self.children(&node)? {
            if !self.remove_with_children(&child.meta.key)? {
                return Ok(false);
            }
        }
        self.remove(&node)
    }
}
