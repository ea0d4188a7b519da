//! The report of a run.

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
    /// The resolved source: URN with a concrete version, or an image id.
    pub source: String,
    /// SHA-256 of the source image.
    pub source_digest: String,
    pub outputs: Vec<RunOutput>,
    pub exports: Vec<Exported>,
    /// The effect of `optimize.vmBoot`, if the template requests it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimization: Option<Optimization>,
    /// The run made no image: it only validated the source.
    pub source_validation_only: bool,
    /// Keys of all nodes, first boot first.
    pub nodes: Vec<String>,
    /// The folder of `customization.log`, `validation.log` and `serial.log`.
    pub log_dir: PathBuf,
    /// The duration of the whole run, in seconds.
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
