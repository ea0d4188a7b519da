//! Provisioning of a template, between its PUT and `Succeeded` or `Failed`: the source is looked up,
//! scripts are fetched and pinned, the staging group is made.

use api::template::Identity;
use db::{Cause, Operation, Write};
use engine::template::Template;
use images::error::Error;
use jiff::Timestamp;
use serde_json::json;
use service::{App, tombstones};

use super::{
    advance, check, compatibility, ended,
    failure::{Failure, Fault},
    machine, pin,
    record::{Indexed, TemplateRecord},
    rights, run, schedules, source, staging,
};
use crate::{
    compute::targets,
    image_builder::state::{self, Event, State},
};

pub(super) async fn attempt(app: &App, operation: &Operation) -> Result<(), db::Error> {
    let end = |result| ended(operation, result);
    let Some(mut template) = TemplateRecord::find(app.store(), &operation.target).await? else {
        let gone = json!({ "code": "ResourceNotFound", "message": "The image template is gone." });
        return app.store().commit(vec![end(Err(gone))]).await;
    };
    // The resumed operation was already done.
    if State::of(&template, None).template != state::Template::Creating {
        return app.store().commit(vec![end(Ok(()))]).await;
    }
    let prepared = Fault::split(prepare(app, &mut template).await)?;
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
    match auto {
        Some((row, run)) => writes.extend(run::begin(template, row, run)),
        None => writes.push(template.replace()),
    }
    writes.push(end(result));
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

/// Fills in what only the lookups could tell. Returns the further writes.
async fn prepare(app: &App, template: &mut TemplateRecord) -> Result<Vec<Write>, Fault<Failure>> {
    let typed = template.template()?.clone();
    // First: of what the identity may not read, nobody learns whether it exists.
    rights::check(app, &typed).await??;
    engine::build::check_sizes(&typed)?;
    Error::all(targets::faults(app, &typed, None).await?)?;
    let exact = source::resolve(app, &typed).await??;
    machine::check(app, &typed).await?;
    if let Some(os) = exact.os {
        engine::template::check_system(&typed, os)?;
    }
    if let Some(error) = compatibility::disagreement(app, &typed, &exact).await? {
        return Err(error.into());
    }
    let writes = staging::prepare(app, template).await??;
    let partition = app.partition().await?;
    let pinned = pin::scripts(app, partition, &typed, template.properties_mut()).await?;
    let script_bytes = staging::scripts_fit(app, &pinned).await??;
    staging::keep_scripts(app, template, &pinned).await?;
    if let Some(version) = &exact.version {
        template.set_exact_version(version);
    }
    template.hidden.indexed = Some(Indexed { script_bytes });
    template.hidden.generation = Some(exact.generation);
    template.show_staging_group();
    show_principal(app, &typed, template).await?;
    Ok(writes)
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
