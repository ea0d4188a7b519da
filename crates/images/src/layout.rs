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

    /// `sources/<digest>/`: source images by content digest (`disk.qcow2`, `source.json`).
    pub fn sources(&self) -> PathBuf {
        self.cache.join("sources")
    }

    /// `nodes/<key>/`: sealed states of build machines.
    pub fn nodes(&self) -> PathBuf {
        self.cache.join("nodes")
    }

    /// `superseded/<key>`: the fresh node that replaced an older one.
    pub fn superseded(&self) -> PathBuf {
        self.cache.join("superseded")
    }

    /// `artifacts/<key>/`: images converted from a generalized node, to be linked from.
    pub fn artifacts(&self) -> PathBuf {
        self.cache.join("artifacts")
    }

    /// `history/<digest>.json`: a summary of each template's last run, for `plan`.
    pub fn history(&self) -> PathBuf {
        self.cache.join("history")
    }

    /// `measured/<key>.json`: how fast nodes booted.
    pub fn measured(&self) -> PathBuf {
        self.cache.join("measured")
    }

    /// `validated/<key>/`: the validators that have passed on a node.
    pub fn validated(&self) -> PathBuf {
        self.cache.join("validated")
    }

    /// `verified/<file>.json`: the files that were recently read and found intact.
    pub fn verified(&self) -> PathBuf {
        self.cache.join("verified")
    }

    /// `runs/<run id>/`: work folders of runs, removed with the run.
    pub fn runs(&self) -> PathBuf {
        self.cache.join("runs")
    }

    /// `downloads/<sha256>`: fetched scripts and files by content digest.
    pub fn downloads(&self) -> PathBuf {
        self.cache.join("downloads")
    }

    /// `locks/<name>.lock`: advisory locks between processes.
    pub fn locks(&self) -> PathBuf {
        self.cache.join("locks")
    }

    /// `identity`: a random word that is unique to this cache.
    pub fn identity(&self) -> PathBuf {
        self.cache.join("identity")
    }

    /// `logs/<run id>/`: serial, customization and validation logs, screenshots; they outlive the
    /// run.
    pub fn logs(&self) -> PathBuf {
        self.cache.join("logs")
    }

    /// `images/`: the local image store (managed images and galleries).
    pub fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    /// `blobs/`: VHDs of runs without a `uri`.
    pub fn blobs(&self) -> PathBuf {
        self.data.join("blobs")
    }

    /// `blobs/vhds/`: VHDs of distributors without an address; named after the container in a
    /// staging account.
    pub fn vhds(&self) -> PathBuf {
        self.blobs().join("vhds")
    }

    /// `regions/`: notes about the regions that versions are copied to.
    pub fn regions(&self) -> PathBuf {
        self.data.join("regions")
    }

    /// `ledger/`: resources that must be released.
    pub fn ledger(&self) -> PathBuf {
        self.data.join("ledger")
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
            self.runs(),
            self.downloads(),
            self.locks(),
            self.logs(),
        ];
        let data = [self.images(), self.blobs(), self.regions(), self.ledger()];
        cache.into_iter().chain(data).chain([self.data.join("server")]).collect()
    }

    /// `goldsmith.toml`: the administrator's settings for this installation.
    pub fn config(&self) -> PathBuf {
        self.data.join("goldsmith.toml")
    }

    /// `catalogue.toml`: the user's own catalogue, beside the shipped one.
    pub fn user_catalogue(&self) -> PathBuf {
        self.data.join("catalogue.toml")
    }
}
