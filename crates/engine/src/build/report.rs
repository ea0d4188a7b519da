//! What came of a run.

use std::path::PathBuf;

use images::{
    event::{Optimization, RunOutput},
    export::Exported,
};
use serde::Serialize;
use sources::SourceImage;

use super::{Run, chain::Chain};

/// A run that succeeded.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub run_id: String,
    /// The source as it was resolved: URN with a concrete version, or an image id.
    pub source: String,
    /// SHA-256 of the source image.
    pub source_digest: String,
    pub outputs: Vec<RunOutput>,
    pub exports: Vec<Exported>,
    /// What `optimize.vmBoot` brought, where the template asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimization: Option<Optimization>,
    /// Nothing was made: only the source was validated.
    pub source_validation_only: bool,
    /// Keys of all nodes, first boot first.
    pub nodes: Vec<String>,
    /// Where `customization.log`, `validation.log` and `serial.log` are.
    pub log_dir: PathBuf,
    /// The whole run, in seconds.
    pub seconds: f64,
}

impl Report {
    pub(super) fn new(
        run: &Run<'_>,
        source: &SourceImage,
        chain: &Chain,
        outputs: Vec<RunOutput>,
        exports: Vec<Exported>,
    ) -> Self {
        Self {
            run_id: run.id.clone(),
            source: source.exact_version.clone(),
            source_digest: source.digest.clone(),
            outputs,
            exports,
            optimization: None,
            source_validation_only: false,
            nodes: chain.links.iter().map(|link| link.key.to_string()).collect(),
            log_dir: PathBuf::new(),
            seconds: 0.0,
        }
    }
}
