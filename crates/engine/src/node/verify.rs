//! Checks that the files of nodes are unchanged since the seal.
//!
//! `node.json` contains the sparse digest of each file beside it. It is computed when the node is
//! published, in parallel with the next step. A run reads a node's chain before it continues from
//! the node, except files that were read recently ([`Verified`]). Nodes of an earlier goldsmith
//! have no digests and are used without a check, until they are evicted.

use std::{fs, io};

use images::{
    digest::{Digest, Key},
    image_file::verified::Verified,
};
use tokio_util::sync::CancellationToken;

use super::{Node, NodeStore, Parent, meta::RAM};

impl Node {
    /// The files of this node, and their expected digests.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = (&str, Digest)> {
        self.meta.files.iter().map(|(name, hex)| (name.as_str(), Digest::Sparse(hex.clone())))
    }

    /// The first damaged file, except the RAM. This may take long; call it off the runtime.
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

    /// Whether the RAM is undamaged. Damaged RAM is removed, since the node can boot without it.
    /// This may take long; call it off the runtime.
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
    /// Removes what a damaged file makes useless: the RAM alone, or the node with those based on
    /// it.
    pub(crate) fn evict_damaged(&self, node: &Node, file: &str) -> io::Result<bool> {
        if file == RAM {
            fs::remove_file(node.file(RAM))?;
            return Ok(true);
        }
        self.remove_with_children(&node.meta.key)
    }
}

/// A damaged node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub key: Key,
    pub file: String,
}

impl NodeStore {
    /// The first damaged node of the chain that ends with `node`, from the source on. This may take
    /// long; call it off the runtime.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn damage(&self, node: &Node, cancel: &CancellationToken) -> io::Result<Option<Damage>> {
        let verified = Verified::new(&self.layout);
        let mut chain = vec![node.clone()];
        while let Some(Parent::Node(key)) = chain.last().map(|node| node.meta.parent.clone()) {
            match self.get(&key)? {
                Some(parent) => chain.push(parent),
                // Evicted meanwhile: the use of the node will find out.
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

    /// Removes a node and all that are based on it, unless one of them is in use (`false`).
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
