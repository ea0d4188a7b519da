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
//! run and a run output, so a recovered run may simply publish again. To add one: its file, and a
//! line in each of the matches below, where the compiler asks for it.

mod agree;
mod blob;
mod folder;
mod managed_image;
mod shared_image;
mod vhd;

use api::{
    ErrorCode,
    template::{Distributor, DistributorKind, Properties, Template},
};
use futures_util::future::join_all;
use images::{
    config::Config,
    cx::Cx,
    error::{Error, Result},
    event::{Event, RunOutput},
    image_file::artifact::Standalone,
    ledger::Ledger,
    store::{Labels, Origin},
};
use jiff::Timestamp;
use vm::Host;

pub use self::managed_image::data_outputs;
pub(crate) use self::{agree::agree, vhd::all as vhds};

/// The known facts about the image.
#[derive(Debug, Clone)]
pub struct Facts {
    pub run_id: String,
    /// The start of the run; part of the names of VHDs.
    pub started: Timestamp,
    pub origin: Origin,
}

/// Distributors that passed the check.
#[derive(Debug, Clone)]
pub struct Targets {
    distributors: Vec<Distributor>,
    /// The exact version of the source, for the versioning scheme `Source`.
    source_version: Option<String>,
}

/// The input of a publishing distributor.
#[derive(Clone, Copy)]
struct Work<'a> {
    cx: &'a Cx,
    host: &'a Host,
    image: &'a Standalone,
    facts: &'a Facts,
    /// Records unfinished files in folders outside of the layout.
    ledger: &'a Ledger,
    source_version: Option<&'a str>,
    distributor: &'a Distributor,
}

/// Checks all that can be known about the targets before the build, and creates nothing.
/// `source_version` is for the versioning scheme `Source`.
///
/// # Errors
/// The first mistake; the others are in its details.
pub fn check(
    cx: &Cx,
    distributors: &[Distributor],
    source_version: Option<&str>,
) -> Result<Targets> {
    check_again(cx, distributors, source_version, "")
}

/// The same for a run that may have been interrupted: its own publications do not count as
/// conflicts.
///
/// # Errors
/// As [`check`].
pub fn check_again(
    cx: &Cx,
    distributors: &[Distributor],
    source_version: Option<&str>,
    run_id: &str,
) -> Result<Targets> {
    let mut errors = Vec::new();
    for distributor in distributors {
        let checked = match &distributor.kind {
            DistributorKind::ManagedImage(target) => managed_image::check(target),
            DistributorKind::SharedImage(target) => {
                let output = &distributor.run_output_name;
                shared_image::check(cx, target, source_version, (run_id, output))
            }
            // Its check does not need the source.
            DistributorKind::Vhd(_) => Ok(()),
        };
        errors.extend(checked.err().map(|error| at(distributor, error)));
    }
    errors.extend(places(cx, distributors));
    Error::all(errors)?;
    let source_version = source_version.map(ToOwned::to_owned);
    Ok(Targets { distributors: distributors.to_vec(), source_version })
}

/// The errors of a template's targets that are known before its source is looked up: unknown
/// regions and storage accounts, and the version of a source that has none.
pub fn admit(cx: &Cx, template: &Template) -> Vec<Error> {
    let Properties { source, distribute, .. } = &template.properties;
    let mut errors = places(cx, distribute);
    for distributor in distribute {
        if let DistributorKind::SharedImage(target) = &distributor.kind {
            let checked = shared_image::versioned(target, source);
            errors.extend(checked.err().map(|error| at(distributor, error)));
        }
    }
    errors
}

/// The errors of the targets' regions and storage accounts.
fn places(cx: &Cx, distributors: &[Distributor]) -> Vec<Error> {
    let config = match Config::load(&cx.layout) {
        Ok(config) => config,
        Err(error) => return vec![error],
    };
    let faults = distributors.iter().flat_map(|distributor| {
        let faults = match &distributor.kind {
            DistributorKind::ManagedImage(target) => {
                managed_image::region(cx, &config, target).into_iter().collect()
            }
            DistributorKind::SharedImage(target) => shared_image::regions(cx, &config, target),
            DistributorKind::Vhd(target) => vhd::check(&config, target).err().into_iter().collect(),
        };
        faults.into_iter().map(|error| at(distributor, error))
    });
    faults.collect()
}

/// Adds the path of the distributor's field to an error.
fn at(distributor: &Distributor, mut error: Error) -> Error {
    let field = error.target.take().map_or_else(String::new, |field| format!(".{field}"));
    error.target(format!("{}{field}", distributor.path))
}

/// Publishes to every target, side by side. A target that fails does not stop the others. The
/// outputs are in the template's order.
///
/// # Errors
/// The first error. Its details contain the other errors and the targets that succeeded.
pub async fn publish(
    cx: &Cx,
    host: &Host,
    image: &Standalone,
    facts: &Facts,
    targets: &Targets,
    ledger: &Ledger,
) -> Result<Vec<RunOutput>> {
    let results = join_all(targets.distributors.iter().map(async |distributor| {
        let source_version = targets.source_version.as_deref();
        let work = Work { cx, host, image, facts, ledger, source_version, distributor };
        let output = publish_one(work).await.map_err(|error| coded(error, distributor))?;
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

async fn publish_one(work: Work<'_>) -> Result<RunOutput> {
    match &work.distributor.kind {
        DistributorKind::ManagedImage(target) => managed_image::publish(work, target).await,
        DistributorKind::SharedImage(target) => shared_image::publish(work, target).await,
        DistributorKind::Vhd(target) => vhd::publish(work, target).await,
    }
}

/// Adds the distributor to an error, and classifies it as a distribution error.
fn coded(mut error: Error, distributor: &Distributor) -> Error {
    if error.code == ErrorCode::ExportFailed {
        error.code = ErrorCode::DistributeFailed;
    }
    error.message = format!("run output {}: {}", distributor.run_output_name, error.message);
    error.target(distributor.path.clone())
}

fn labels(distributor: &Distributor) -> Labels {
    let tags = distributor.artifact_tags.clone();
    Labels { run_output_name: Some(distributor.run_output_name.clone()), tags, ..Labels::default() }
}
