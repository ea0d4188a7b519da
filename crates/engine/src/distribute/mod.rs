//! Distributors: they deliver the finished image.
//!
//! ```text
//! sealed disk ── artifacts/<key>/disk.qcow2 ─┬─ images/managed/…                   ManagedImage
//!                                            ├─ images/galleries/…                 SharedImage
//!                                            │   └─ places of regions             (replicate)
//!                                            └─ artifacts/<key>/disk.vhd ── blobs/vhds/…  VHD
//!                                                                       └─ place of an account  VHD with `uri`
//! ```
//!
//! The last step of each is a link, if the folders are on one file system. Each is idempotent for a
//! run and a run output, so a recovered run may simply publish again.
//!
//! To add a kind: its file, its `mod` line, and its entry in [`DISTRIBUTORS`].

mod blob;
mod compatibility;
mod folder;
mod managed_image;
mod shared_image;
mod vhd;

use std::{fmt::Debug, sync::Arc};

use api::{
    ErrorCode, ResourceId,
    template::{Delivery, Kind, Regions, Source},
};
use async_trait::async_trait;
use futures_util::future::join_all;
use images::{
    config::Config,
    error::{Error, Result},
    event::{Event, RunOutput},
    image_file::artifact::Standalone,
    ledger::Ledger,
    run_context::RunContext,
    store::{Labels, Origin},
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use vm::Host;

pub use self::shared_image::ReplicationMode;
pub(crate) use self::{compatibility::check_compatibility, vhd::all as vhds};

/// The kinds of distributors.
pub const DISTRIBUTORS: &[Kind<Arc<dyn Distributor>>] = &[
    // Messages list them in this order.
    managed_image::KIND,
    shared_image::KIND,
    vhd::KIND,
];

/// A distributor of a template.
pub type Target = api::template::Target<Arc<dyn Distributor>>;

/// The settings of one distributor.
#[async_trait]
pub trait Distributor: Delivery + Debug + Send + Sync {
    /// The errors of its regions and storage accounts.
    fn faults(&self, _cx: &RunContext, _config: &Config) -> Vec<Error> {
        Vec::new()
    }

    /// Checks whether it can distribute an image from a source that was not looked up yet.
    ///
    /// # Errors
    /// With the field as target, as in all methods.
    fn suits(&self, _source: &Source) -> Result<()> {
        Ok(())
    }

    /// Checks what can be known before the build, and creates nothing.
    fn check(&self, _cx: &RunContext, _run: &Check<'_>) -> Result<()> {
        Ok(())
    }

    /// The limit of each disk of the image.
    fn disk_limit(&self) -> Option<DiskLimit> {
        None
    }

    /// The resources that must exist before the build. Only the first missing one is an error.
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    /// The resource that represents its output; `None` if there is none, as for a blob.
    fn resource(&self) -> Option<OutputResource<'_>> {
        None
    }

    /// Changes its fields in a stored template to what Azure returns. `is_sent` tells whether the
    /// client sent a field.
    fn respond(&self, _fields: &mut Map<String, Value>, _is_sent: &dyn Fn(&str) -> bool) {}

    /// Delivers the image. Does nothing if the same run has delivered it already.
    async fn publish(&self, work: Work<'_>) -> Result<RunOutput>;
}

impl dyn Distributor {
    /// The gallery version that it creates, if it creates one.
    pub fn version(&self) -> Option<GalleryVersion<'_>> {
        match self.resource()? {
            OutputResource::GalleryVersion(version) => Some(version),
            OutputResource::Image { .. } => None,
        }
    }
}

/// The input of [`Distributor::check`].
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// The exact version of the source, if it has one.
    pub source_version: Option<&'a str>,
    /// The run whose own publications do not count as conflicts, and its output.
    pub run_id: &'a str,
    pub run_output_name: &'a str,
}

/// The limit of a disk's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimit {
    pub bytes: u64,
    /// The owner of the limit, such as `a VHD`.
    pub of: &'static str,
}

/// A resource that must exist before a build.
#[derive(Debug)]
pub struct Need {
    pub id: String,
    /// The error if it does not exist, with the field as target.
    pub missing: Error,
}

/// A resource that represents the output of a distributor.
#[derive(Debug)]
pub enum OutputResource<'a> {
    /// A managed image.
    Image { location: &'a str },
    /// A version of a gallery image.
    GalleryVersion(GalleryVersion<'a>),
}

/// A gallery version that a distributor creates.
#[derive(Debug)]
pub struct GalleryVersion<'a> {
    /// The field that names it.
    pub field: &'static str,
    /// The gallery image.
    pub definition: ResourceId,
    /// Its number, if the template specifies it.
    pub number: Option<&'a str>,
    pub regions: &'a Regions,
    pub exclude_from_latest: bool,
    pub replication_mode: ReplicationMode,
}

/// The known facts about the image.
#[derive(Debug, Clone)]
pub struct DeliveryContext {
    pub run_id: String,
    /// The start of the run; part of the names of VHDs.
    pub started: Timestamp,
    pub origin: Origin,
}

/// Distributors that passed the check.
#[derive(Debug, Clone)]
pub struct Targets {
    distributors: Vec<Target>,
    /// The exact version of the source, for the versioning scheme `Source`.
    source_version: Option<String>,
}

/// The input of [`Distributor::publish`].
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "a host has none")]
pub struct Work<'a> {
    cx: &'a RunContext,
    host: &'a Host,
    image: &'a Standalone,
    facts: &'a DeliveryContext,
    /// Records unfinished files in folders outside of the layout.
    ledger: &'a Ledger,
    source_version: Option<&'a str>,
    target: &'a Target,
}

/// Checks all that can be known about the targets before the build, and creates nothing. Earlier
/// publications of the run itself do not count as conflicts. `source_version` is for the versioning
/// scheme `Source`.
///
/// # Errors
/// The first mistake; the others are in its details.
pub fn check(
    cx: &RunContext,
    distributors: &[Target],
    source_version: Option<&str>,
    run_id: &str,
) -> Result<Targets> {
    let mut errors = Vec::new();
    for target in distributors {
        let run_output_name = &target.run_output_name;
        let checked = target.kind.check(cx, &Check { source_version, run_id, run_output_name });
        errors.extend(checked.err().map(|error| at(target, error)));
    }
    errors.extend(places(cx, distributors));
    Error::all(errors)?;
    let source_version = source_version.map(ToOwned::to_owned);
    Ok(Targets { distributors: distributors.to_vec(), source_version })
}

/// The errors of a template's targets that are known before its source is looked up: unknown
/// regions and storage accounts, and the version of a source that has none.
pub fn admit(cx: &RunContext, targets: &[Target], source: &Source) -> Vec<Error> {
    let mut errors = places(cx, targets);
    for target in targets {
        errors.extend(target.kind.suits(source).err().map(|error| at(target, error)));
    }
    errors
}

/// The errors of the targets' regions and storage accounts.
fn places(cx: &RunContext, targets: &[Target]) -> Vec<Error> {
    let config = match Config::load(&cx.layout) {
        Ok(config) => config,
        Err(error) => return vec![error],
    };
    let faults = targets.iter().flat_map(|target| {
        target.kind.faults(cx, &config).into_iter().map(|error| at(target, error))
    });
    faults.collect()
}

/// Adds the path of the target to the field of an error.
pub fn at(target: &Target, mut error: Error) -> Error {
    let field = error.target.take().map_or_else(String::new, |field| format!(".{field}"));
    error.target(format!("{}{field}", target.path))
}

/// Publishes to every target, side by side. A target that fails does not stop the others. The
/// outputs are in the template's order.
///
/// # Errors
/// The first error. Its details contain the other errors and the targets that succeeded.
pub async fn publish(
    cx: &RunContext,
    host: &Host,
    image: &Standalone,
    facts: &DeliveryContext,
    targets: &Targets,
    ledger: &Ledger,
) -> Result<Vec<RunOutput>> {
    let results = join_all(targets.distributors.iter().map(async |target| {
        let _distributing = cx.events.work(format!("distribute {}", target.run_output_name));
        let source_version = targets.source_version.as_deref();
        let work = Work { cx, host, image, facts, ledger, source_version, target };
        let output = target.kind.publish(work).await.map_err(|error| coded(error, target))?;
        cx.events.send(Event::Distributed { output: output.clone() });
        Ok(output)
    }))
    .await;
    let total = results.len();
    let (mut outputs, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(output) => outputs.push(output),
            Err(error) => failures.push(error),
        }
    }
    let failed = failures.len();
    match Error::all(failures) {
        Ok(()) => Ok(outputs),
        Err(mut error) => {
            error.message = format!(
                "Failed in distributing {failed} images out of total {total}: {}",
                error.message
            );
            Err(error.details(outputs.iter().map(published)))
        }
    }
}

/// A line about the output, for errors.
pub(crate) fn published(output: &RunOutput) -> String {
    let place = output.artifact_id.as_ref().or(output.artifact_uri.as_ref());
    format!("published: {} {}", output.run_output_name, place.map_or("", String::as_str))
}

/// Adds the distributor to an error, and classifies it as a distribution error.
fn coded(mut error: Error, target: &Target) -> Error {
    if error.code == ErrorCode::ExportFailed {
        error.code = ErrorCode::DistributeFailed;
    }
    error.message = format!("run output {}: {}", target.run_output_name, error.message);
    error.target(target.path.clone())
}

fn labels(target: &Target) -> Labels {
    let tags = target.artifact_tags.clone();
    Labels { run_output_name: Some(target.run_output_name.clone()), tags, ..Labels::default() }
}
