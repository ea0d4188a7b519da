//! The storage account of a run's template, with its scripts and VHDs.

use std::path::Path;

use api::ErrorCode;
use db::Run;
use engine::template::Template;
use images::{error::Error, event::RunOutput, run_context::RunContext, step::Step};
use providers::image_builder::{Fault, pin, record::TemplateRecord, staging};
use service::{
    App,
    blobs::{self, Blob, VHDS},
    conceal::Conceal,
    run_folder,
};
use sources::fetch::{self, Limits};

use super::{executor::Ended, journal::Journal};

/// Where a run finds its scripts and leaves its VHDs.
#[derive(Debug)]
pub(super) struct Destination {
    /// The storage account of its template.
    pub(super) account: String,
    /// The suffix of its VHDs' names, after that of the run output.
    stamp: String,
}

/// The place of the run.
///
/// # Errors
/// The account is gone. A failure of the database is not one of the run.
pub(super) async fn place(app: &App, run: &Run) -> Result<Destination, Fault<Error>> {
    let template = TemplateRecord::find(app.store(), &run.template).await?;
    let Some(account) = staging::account(app, template.as_ref()).await? else {
        let text = "the staging storage account of the image template is gone: its resource group was deleted";
        return Err(Error::new(ErrorCode::NotFound, text)
            .hint("delete the image template and create it again")
            .into());
    };
    Ok(Destination { account: account.name, stamp: stamp(app, run).await? })
}

/// Azure has the second in the name. An earlier run of the template may have had that second: then the run's id
/// follows. It is the same on each call, since no other run of the template is queued before this one is over.
async fn stamp(app: &App, run: &Run) -> Result<String, db::Error> {
    let second = run.queued.strftime("%Y%m%d%H%M%S").to_string();
    let is_taken = app.store().has_other_run_of_that_second(run).await?;
    Ok(if is_taken { format!("{second}_{}", run.id) } else { second })
}

/// Puts the pinned scripts where the engine looks first. The engine fetches a script that is missing
/// here, and accepts only the pinned content.
pub(super) async fn fetch_scripts(cx: &RunContext, account: &str, template: &Template) {
    let folder = blobs::root(&cx.layout).join(account);
    for script in pin::pinned(template) {
        let path = folder.join(script.container).join(&script.blob);
        let Some(path) = path.to_str() else { continue };
        let (base, limits) = (Some(Path::new("/")), Limits::default());
        if let Err(error) = fetch::script(cx, path, base, Some(&script.sha256), &limits).await {
            cx.events.warn(format!("the stored copy of {} cannot be used: {error}", script.blob));
        }
    }
}

/// Moves VHDs that have no place of their own into the account. A VHD that cannot be moved is not an
/// output, and fails the run.
pub(super) async fn deliver(app: &App, place: &Destination, mut ended: Ended) -> Ended {
    let mut outputs = Vec::new();
    if let Err(error) = app.confirm_ownership().await {
        return Ended { outputs, error: Some(error), ..ended };
    }
    for output in std::mem::take(&mut ended.outputs) {
        match stage(app, place, output).await {
            Ok(output) => outputs.push(output),
            Err(error) => ended.error = Some(ended.error.take().unwrap_or(error)),
        }
    }
    Ended { outputs, ..ended }
}

async fn stage(app: &App, place: &Destination, mut output: RunOutput) -> Result<RunOutput, Error> {
    let Destination { account, stamp } = place;
    let layout = &app.settings().layout;
    let is_local = output.artifact_uri.as_deref().is_some_and(|uri| uri.starts_with("file:"));
    if !is_local || !output.path.starts_with(layout.blobs()) {
        return Ok(output);
    }
    let stem = format!("{}_{stamp}", output.run_output_name);
    let name = format!("{stem}.vhd");
    let blob = |name: String| Blob { account: account.clone(), container: VHDS.to_owned(), name };
    let of_data = |lun: usize| blob(format!("{stem}_dataDisk_{lun}.vhd"));
    let described = output.path.with_added_extension("json");
    let moved = async {
        for disk in &output.data_disks {
            blobs::take(layout, &of_data(disk.lun), &disk.path).await?;
        }
        blobs::take(layout, &blob(format!("{name}.json")), &described).await?;
        blobs::take(layout, &blob(name.clone()), &output.path).await
    };
    moved.await.map_err(|error| {
        let text = format!(
            "Failed in distributing 1 images out of total 1: run output {}: the VHD cannot be moved into the storage account '{account}'",
            output.run_output_name
        );
        let mut error = Error::new(ErrorCode::DistributeFailed, text).caused_by(error);
        error.step = Some(Step::Distribute.to_string());
        error
    })?;
    let at = |blob: &Blob| blobs::root(layout).join(&blob.account).join(VHDS).join(&blob.name);
    for disk in &mut output.data_disks {
        disk.path = at(&of_data(disk.lun));
    }
    let blob = blob(name);
    let base = app.base_url().unwrap_or_default();
    output.artifact_uri = Some(format!("{base}{}", blob.url_path()));
    output.path = at(&blob);
    Ok(output)
}

/// Writes into the log why a run did not begin: the message of a failed run leads there.
pub(super) async fn log_refusal(app: &App, run_id: &str, error: &Error) {
    let folder = run_folder::of(&app.settings().layout, run_id);
    let id = run_id.to_owned();
    let concealed = Conceal::of(&app.settings().layout).error(error);
    let written = tokio::task::spawn_blocking(move || {
        Journal::open(&folder, &id, images::log::DEFAULT_BYTES)
            .and_then(|mut journal| journal.end(Some(&concealed)))
    });
    if !matches!(written.await, Ok(Ok(()))) {
        tracing::warn!(run = run_id, "the run has no journal");
    }
}
