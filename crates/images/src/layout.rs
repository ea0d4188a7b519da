//! The folders: the cache (may be deleted at any time) and the data (may not).

use std::path::{Path, PathBuf};

/// The two folders that contain everything. Goldsmith writes nothing else on the host, except to
/// paths that a user names (`--export`).
#[derive(Debug, Clone)]
pub struct Layout {
    cache: PathBuf,
    data: PathBuf,
}

impl Layout {
    /// A layout below the two folders, which need not exist yet.
    pub fn new(cache: PathBuf, data: PathBuf) -> Self {
        Self { cache, data }
    }

    /// The cache folder: sources, nodes and runs, all on one file system so that a node can appear
    /// by one rename.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The data folder: image store, user's catalogue, ledger.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The folders that goldsmith owns, below the two that its user chose.
    pub fn folders(&self) -> Vec<PathBuf> {
        let cache = [
            self.sources(),
            self.nodes(),
            self.superseded(),
            self.artifacts(),
            self.history(),
            self.measured(),
            self.validated(),
            self.ram_tests(),
            self.runs(),
            self.downloads(),
            self.partitions(),
            self.locks(),
            self.logs(),
        ];
        let data = [self.images(), self.blobs(), self.regions(), self.ledger()];
        cache.into_iter().chain(data).chain([self.data.join("server")]).collect()
    }
}

/// Paths below the two folders.
macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident: $base:ident / $path:literal,)*) => {
        impl Layout {
            $($(#[$doc])* pub fn $name(&self) -> PathBuf { self.$base.join($path) })*
        }
    };
}

paths! {
    /// `sources/<digest>/`: source images by content digest (`disk.qcow2`, `source.json`).
    sources: cache / "sources",
    /// `nodes/<key>/`: sealed states of build machines.
    nodes: cache / "nodes",
    /// `superseded/<key>`: the fresh node that replaced an older one.
    superseded: cache / "superseded",
    /// `artifacts/<key>/`: images converted from a generalized node, to be linked from.
    artifacts: cache / "artifacts",
    /// `history/<digest>.json`: a summary of each template's last run, for `plan`.
    history: cache / "history",
    /// `measured/<key>.json`: how fast nodes booted.
    measured: cache / "measured",
    /// `validated/<key>/`: the validators that have passed on a node.
    validated: cache / "validated",
    /// `ram-tests/<digest>.json`: whether RAM that was saved in the background can be loaded.
    ram_tests: cache / "ram-tests",
    /// `verified/<file>.json`: the files that were recently read and found intact.
    verified: cache / "verified",
    /// `runs/<run id>/`: work folders of runs, removed with the run.
    runs: cache / "runs",
    /// `downloads/<sha256>`: fetched scripts and files by content digest.
    downloads: cache / "downloads",
    /// `partitions/<name>/`: what each [part of the cache](crate::partition) has had.
    partitions: cache / "partitions",
    /// `locks/<name>.lock`: advisory locks between processes.
    locks: cache / "locks",
    /// `identity`: a random word that is unique to this cache.
    identity: cache / "identity",
    /// `logs/<run id>/`: serial, customization and validation logs, screenshots; they outlive the
    /// run.
    logs: cache / "logs",
    /// `images/`: the local image store (managed images and galleries).
    images: data / "images",
    /// `blobs/`: VHDs of runs without a `uri`.
    blobs: data / "blobs",
    /// `blobs/vhds/`: VHDs of distributors without an address; named after the container in a
    /// staging account.
    vhds: data / "blobs/vhds",
    /// `regions/`: notes about the regions that versions are copied to.
    regions: data / "regions",
    /// `ledger/`: resources that must be released.
    ledger: data / "ledger",
    /// `goldsmith.toml`: the administrator's settings for this installation.
    config: data / "goldsmith.toml",
    /// `catalogue.toml`: the user's own catalogue, beside the shipped one.
    user_catalogue: data / "catalogue.toml",
}
