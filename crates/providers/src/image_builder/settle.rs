//! What happens between the PUT of a template and `Succeeded` or `Failed`: the source is looked up,
//! every script is fetched and pinned, the staging group is made.

use api::{
    ErrorCode,
    template::{Identity, Template, parse},
};
use arm::operation;
use db::{Cause, Operation, Resource, Write};
use images::error::Error;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::{App, tombstones};

use super::{
    advance, agree, check, failure::Failure, machine, pin, run, schedules, source, staging,
    until_done,
};
use crate::{
    compute::targets,
    image_builder::state::{self, Event, State},
};

/// Settles a template; to be begun anew after a restart.
pub(super) async fn settle(app: App, operation: Operation) {
    until_done(&app, "settle an image template", || attempt(&app, &operation)).await;
}

async fn attempt(app: &App, operation: &Operation) -> Result<(), db::Error> {
    let Some(mut template) = app.store().resource(&operation.target).await? else {
        let gone = json!({ "code": "ResourceNotFound", "message": "The image template is gone." });
        let ended = operation::ended(operation.clone(), Err(gone));
        return app.store().commit(vec![Write::Operation(ended)]).await;
    };
    // Taken up again although it was done.
    if State::of(&template, None).template != state::Template::Creating {
        let ended = operation::ended(operation.clone(), Ok(()));
        return app.store().commit(vec![Write::Operation(ended)]).await;
    }
    let prepared = prepare(app, &mut template).await?;
    if app.shutdown().is_cancelled() {
        // What was interrupted is no failure of the template: it is taken up again.
        return Ok(());
    }
    let mut failed_account = None;
    let (mut writes, result) = match prepared {
        Ok(writes) => (writes, Ok(())),
        Err(failure) => {
            failed_account = staging::account(&template).map(str::to_owned);
            let undone = staging::undo(&mut template);
            template.body["properties"]["provisioningError"] = json!({
                "provisioningErrorCode": failure.provisioning_code(),
                "message": failure.message,
            });
            (
                Vec::from_iter(undone),
                Err(json!({ "code": failure.code, "message": failure.message })),
            )
        }
    };
    if let Err(illegal) = advance(&mut template, None, Event::Settled { ok: result.is_ok() }) {
        tracing::error!(error = %illegal, "a template in creation cannot be settled");
    }
    if result.is_ok() {
        writes.extend(schedules::follow_tags(app, &template, Timestamp::now()).await?);
    }
    let wanted = template.body["properties"]["autoRun"]["state"] == "Enabled"
        && state::next(State::of(&template, None), Event::Run).is_ok();
    // The size was checked, so that a run can be made.
    let auto = if wanted { run::by_itself(&template, Cause::AutoRun).ok() } else { None };
    let is_auto = auto.is_some();
    if let Some((row, run)) = auto {
        template = run::with_run(template, &run);
        writes.extend([Write::Operation(row), Write::InsertRun(run)]);
    }
    writes.push(Write::Replace(template));
    writes.push(Write::Operation(operation::ended(operation.clone(), result)));
    app.store().commit(writes).await?;
    if let Some(account) = failed_account {
        tombstones::act_on_account(app, &account).await;
    }
    app.wake_schedules();
    if is_auto {
        app.wake_worker();
    }
    Ok(())
}

/// Fills in what is known only now; what else has to be written comes back.
async fn prepare(
    app: &App,
    template: &mut Resource,
) -> Result<Result<Vec<Write>, Failure>, db::Error> {
    let typed = match typed(template) {
        Ok(typed) => typed,
        Err(failure) => return Ok(Err(failure)),
    };
    if let Err(error) = engine::build::check_sizes(&typed) {
        return Ok(Err(error.into()));
    }
    if let Err(error) = Error::all(targets::faults(app, &typed, None).await?) {
        return Ok(Err(error.into()));
    }
    let exact = match source::resolve(app, &typed).await? {
        Ok(exact) => exact,
        Err(error) => return Ok(Err(error.into())),
    };
    if let Err(error) = machine::check(app, &typed).await {
        return Ok(Err(error.into()));
    }
    if exact.os_type.as_deref() == Some("Linux")
        && let Err(error) = engine::build::check_runs_on_linux(&typed)
    {
        return Ok(Err(error.into()));
    }
    if let Some(error) = agree::disagreement(app, &typed, &exact).await? {
        return Ok(Err(error.into()));
    }
    let staging = match staging::prepare(app, template).await? {
        Ok(writes) => writes,
        Err(failure) => return Ok(Err(failure)),
    };
    // What was fetched stays in the cache until it has been copied.
    let _held = match pin::scripts(app, &mut template.body["properties"]).await {
        Ok(held) => held,
        Err(error) => return Ok(Err(error.into())),
    };
    if let Err(error) = staging::scripts_fit(app, template).await? {
        return Ok(Err(error.into()));
    }
    if let Err(failure) = staging::keep_scripts(app, template).await {
        return Ok(Err(failure));
    }
    if let Some(version) = exact.version {
        template.body["properties"]["source"]["exactVersion"] = json!(version);
    }
    template.hidden["generation"] = json!(exact.generation);
    template.body["properties"]["exactStagingResourceGroup"] = template.hidden["staging"].clone();
    identity_ids(app, &typed, template).await?;
    Ok(Ok(staging))
}

/// A stored template as what it means.
pub(super) fn typed(template: &Resource) -> Result<Template, Failure> {
    let text = run::input(template).to_string();
    let options =
        api::template::ParseOptions { api_version: None, face: api::template::Face::Service };
    let parsed = parse(&text, &options);
    parsed.template.ok_or_else(|| Failure {
        code: ErrorCode::ValidationFailed.name(),
        message: parsed
            .diagnostics
            .first()
            .map_or_else(|| "The template cannot be read.".to_owned(), |d| d.message.clone()),
    })
}

/// Says of the template's identity whom it stands for. The id keeps its spelling.
pub(super) async fn identity_ids(
    app: &App,
    typed: &Template,
    template: &mut Resource,
) -> Result<(), db::Error> {
    let Some(Identity::UserAssigned { id }) = &typed.identity else {
        return Ok(());
    };
    let Some(ids) = check::found_identity(app, &id.to_string()).await? else {
        return Ok(());
    };
    let map = template.body["identity"]["userAssignedIdentities"].as_object_mut();
    for value in map.into_iter().flat_map(|map| map.values_mut()) {
        *value = Value::clone(&ids);
    }
    Ok(())
}
