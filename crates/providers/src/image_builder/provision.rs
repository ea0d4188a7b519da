//! Provisioning of a template, between its PUT and `Succeeded` or `Failed`: the source is looked up,
//! scripts are fetched and pinned, the staging group is made.

use api::template::Identity;
use arm::operation;
use db::{Cause, Operation, Write};
use engine::template::Template;
use images::error::Error;
use jiff::Timestamp;
use serde_json::json;
use service::{App, tombstones};

use super::{
    advance, agree, check,
    exact::Exact,
    failure::Failure,
    machine, pin,
    record::{Indexed, TemplateRecord},
    run, schedules, source, staging, until_done,
};
use crate::{
    compute::targets,
    image_builder::state::{self, Event, State},
};

/// Provisions a template; called again after a restart.
pub(super) async fn provision(app: App, operation: Operation) {
    until_done(&app, "provision an image template", || attempt(&app, &operation)).await;
}

async fn attempt(app: &App, operation: &Operation) -> Result<(), db::Error> {
    let end = |result| Write::Operation(operation::ended(operation.clone(), result));
    let Some(mut template) = TemplateRecord::find(app.store(), &operation.target).await? else {
        let gone = json!({ "code": "ResourceNotFound", "message": "The image template is gone." });
        return app.store().commit(vec![end(Err(gone))]).await;
    };
    // Resumed although it was done.
    if State::of(&template, None).template != state::Template::Creating {
        return app.store().commit(vec![end(Ok(()))]).await;
    }
    let prepared = prepare(app, &mut template).await?;
    if app.shutdown().is_cancelled() {
        // An interruption is not a failure of the template: the next start resumes the operation.
        return Ok(());
    }
    let mut failed_account = None;
    let (mut writes, result) = match prepared {
        Ok(writes) => (writes, Ok(())),
        Err(failure) => {
            failed_account.clone_from(&template.hidden.staging_account);
            template.show_failure(&failure);
            let undone = staging::undo(&mut template);
            let error = json!({ "code": failure.code, "message": failure.message });
            (Vec::from_iter(undone), Err(error))
        }
    };
    if let Err(illegal) = advance(&mut template, None, Event::Provisioned { ok: result.is_ok() }) {
        tracing::error!(error = %illegal, "a template in creation cannot end its provisioning");
    }
    let mut auto = None;
    if result.is_ok() {
        writes.extend(schedules::follow_tags(app, &template, Timestamp::now()).await?);
        // The size was checked, so that a run can be made.
        if template.template().is_ok_and(|typed| typed.properties.auto_run) {
            auto = run::new(&template, Cause::AutoRun).ok();
        }
    }
    let is_auto = auto.is_some();
    if let Some((row, run)) = auto {
        template.show_run(&run);
        writes.extend([Write::Operation(row), Write::InsertRun(run)]);
    }
    writes.extend([template.replace(), end(result)]);
    app.store().commit(writes).await?;
    if let Some(account) = failed_account {
        tombstones::remove_account_files(app, &account).await;
    }
    app.wake_schedules();
    if is_auto {
        app.wake_worker();
    }
    Ok(())
}

/// Fills in what is known only now. Returns what else has to be written.
async fn prepare(
    app: &App,
    template: &mut TemplateRecord,
) -> Result<Result<Vec<Write>, Failure>, db::Error> {
    let typed = match template.template() {
        Ok(typed) => typed.clone(),
        Err(failure) => return Ok(Err(failure)),
    };
    let exact = match check_targets(app, &typed).await? {
        Ok(exact) => exact,
        Err(error) => return Ok(Err(error.into())),
    };
    let staging = match staging::prepare(app, template).await? {
        Ok(writes) => writes,
        Err(failure) => return Ok(Err(failure)),
    };
    let pins = match pin::scripts(app, &typed, template.properties_mut()).await {
        Ok(pins) => pins,
        Err(error) => return Ok(Err(error.into())),
    };
    let script_bytes = match staging::scripts_fit(app, &pins).await? {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error.into())),
    };
    if let Err(failure) = staging::keep_scripts(app, template, &pins).await {
        return Ok(Err(failure));
    }
    if let Some(version) = &exact.version {
        template.set_exact_version(version);
    }
    template.hidden.indexed = Some(Indexed { script_bytes });
    template.hidden.generation = Some(exact.generation);
    template.show_staging_group();
    show_principal(app, &typed, template).await?;
    Ok(Ok(staging))
}

/// The source, if targets, source and machine agree.
async fn check_targets(app: &App, template: &Template) -> Result<Result<Exact, Error>, db::Error> {
    if let Err(error) = engine::build::check_sizes(template) {
        return Ok(Err(error));
    }
    if let Err(error) = Error::all(targets::faults(app, template, None).await?) {
        return Ok(Err(error));
    }
    let exact = match source::resolve(app, template).await? {
        Ok(exact) => exact,
        Err(error) => return Ok(Err(error)),
    };
    if let Err(error) = machine::check(app, template).await {
        return Ok(Err(error));
    }
    if exact.os_type.as_deref() == Some("Linux")
        && let Err(error) = engine::build::check_runs_on_linux(template)
    {
        return Ok(Err(error));
    }
    Ok(agree::disagreement(app, template, &exact).await?.map_or(Ok(exact), Err))
}

/// Shows which principal the template's identity stands for.
pub(super) async fn show_principal(
    app: &App,
    typed: &Template,
    template: &mut TemplateRecord,
) -> Result<(), db::Error> {
    if let Some(Identity::UserAssigned { id }) = &typed.identity
        && let Some(principal) = check::found_identity(app, &id.to_string()).await?
    {
        template.show_principal(&principal);
    }
    Ok(())
}
