//! `imageTemplates/triggers`: start a run when the source has a new version. This file checks, stores and
//! shows them; [`watch`](super::watch) has their state.

use api::template::ApiVersion;
use arm::{Actions, ApiError, Call, Reply, ResourceType, rows};
use async_trait::async_trait;
use db::{Operation, Resource, ResourceKey, Write};
use engine::template::{Target, Template};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use service::{App, quotas};

use super::{
    DELETE_TRIGGER, PUT_TRIGGER, TRIGGER_ACTIONS, TRIGGERS, TRIGGERS_KIND,
    check::invalid,
    check_name, ended,
    reconcile::{self, below},
    record::TemplateRecord,
    start, template_key, template_not_found, version, view,
    watch::{Problem, TriggerHidden, TriggerRecord},
};

const SOURCE_IMAGE: &str = "SourceImage";
const API_VERSIONS: &[&str] = &["2025-10-01", "2024-02-01", "2023-07-01", "2022-07-01"];

/// The resource type `imageTemplates/triggers`.
#[derive(Debug)]
pub(crate) struct Triggers;

#[async_trait]
impl ResourceType<App> for Triggers {
    fn actions(&self) -> &'static Actions {
        &TRIGGER_ACTIONS
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn api_versions(&self) -> &'static [&'static str] {
        API_VERSIONS
    }

    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let name = call.path.names().last().copied().unwrap_or_default().to_owned();
        check_name("trigger", &name)?;
        kind(call)?;
        put(app, call, &key, &name).await
    }

    async fn patch(&self, _app: &App, call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
        Err(ApiError::new(
            http::StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            format!("The trigger '{}' cannot be changed; delete it and create it.", call.path.text),
        ))
    }

    async fn delete(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        if rows::claim(app.context(), call, &key).await?.is_none() {
            return Ok(Reply::empty(http::StatusCode::NO_CONTENT));
        }
        let template = TemplateRecord::find(app.store(), &template_key(&key)).await?;
        let region = template.as_ref().map_or("", |template| template.location());
        let started = start(app, call, (DELETE_TRIGGER, region), &key, Vec::new()).await?;
        Ok(started.accepted())
    }

    fn view(&self, _app: &App, _call: &Call, resource: &Resource) -> Value {
        view::envelope(TRIGGERS, resource)
    }
}

async fn put(app: &App, call: &Call, key: &ResourceKey, name: &str) -> Result<Reply, ApiError> {
    let existing = rows::find(app.context(), call, key).await?;
    let template = TemplateRecord::find(app.store(), &template_key(key)).await?;
    let template = template.ok_or_else(|| template_not_found(call))?;
    allowed(&template)?;
    only_one(app, &template.row, key).await?;

    let created = existing.is_none();
    let region = template.location();
    if created {
        quotas::trigger(app, TRIGGERS_KIND, region).await?;
    }
    // A trigger that is put again stays as it was, also deactivated: a PUT cannot change it.
    let mut trigger = match existing {
        Some(row) => TriggerRecord::of(row)?,
        None => new_trigger(&template, name),
    };
    trigger.set_provisioning_state("Creating");
    trigger.row.changed = Timestamp::now();
    let row = trigger.into_row();
    let write = if created { Write::Insert(row.clone()) } else { Write::Replace(row.clone()) };
    let region = region.to_owned();
    // The template is written too, so that two triggers at once cannot both be the first.
    let writes = vec![write, template.replace()];
    let started = start(app, call, (PUT_TRIGGER, &region), key, writes).await?;
    Ok(started.put(created, view::envelope(TRIGGERS, &row)))
}

/// Checks the body's kind. Other fields (`location`, read-only ones) have no effect before the strict
/// versions, which refuse them unless the service writes them.
fn kind(call: &Call) -> Result<(), ApiError> {
    let body = call.json()?;
    let empty = Map::new();
    let properties = body.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let known = ["kind", "status", "provisioningState"];
    if version(call) >= ApiVersion::V2024_02_01
        && let Some(name) = properties.keys().find(|name| !known.contains(&name.as_str()))
    {
        return Err(invalid(
            &format!("properties.{name}"),
            format_args!("'Trigger.properties': unknown field \"{name}\""),
        ));
    }
    match properties.get("kind") {
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case(SOURCE_IMAGE) => Ok(()),
        None | Some(Value::Null) => {
            Err(invalid("properties.kind", "'Trigger.properties': Missing field 'kind'"))
        }
        Some(other) => Err(invalid(
            "properties.kind",
            format_args!(
                "'Trigger.properties': Field 'kind' has a bad value: {other}. The only kind is '{SOURCE_IMAGE}'"
            ),
        )),
    }
}

/// Whether a template can have a trigger at all.
fn allowed(template: &TemplateRecord) -> Result<(), ApiError> {
    let state = template.provisioning_state();
    if state != "Succeeded" {
        return Err(ApiError::conflict(
            "OperationNotAllowed",
            format!(
                "Operation '{TRIGGERS}/write' is not allowed in provisioningState: '{}'",
                state.to_lowercase()
            ),
        ));
    }
    let typed = template.template().map_err(|failure| invalid("properties", failure.message))?;
    follows(typed)?;
    typed.properties.distribute.iter().try_for_each(|target| not_fixed(typed, target))
}

/// Whether a template that is changed to this can keep the trigger it has.
pub(super) async fn keeps(
    app: &App,
    template: &TemplateRecord,
    changed: &Template,
) -> Result<(), ApiError> {
    if below(app, &template.key()).await?.is_empty() {
        return Ok(());
    }
    let mut targets = changed.properties.distribute.iter();
    targets.try_for_each(|target| not_fixed(changed, target)).map_err(|error| {
        let message = format!("{}. Or delete the image template's trigger first", error.message);
        ApiError { message, ..error }
    })
}

fn follows(template: &Template) -> Result<(), ApiError> {
    if template.properties.source.is_latest() {
        return Ok(());
    }
    Err(invalid(
        "properties.source",
        "a trigger needs an image template whose source is a PlatformImage or SharedImageVersion with version 'latest'",
    ))
}

fn not_fixed(template: &Template, target: &Target) -> Result<(), ApiError> {
    let Some(version) = target.kind.version() else {
        return Ok(());
    };
    if let Some(number) = version.number {
        return Err(invalid(
            &target.path,
            format_args!(
                "a trigger cannot be used with '{}', which always makes version {number}; name the image definition alone",
                target.path
            ),
        ));
    }
    if template.properties.source.definition() == Some(version.definition) {
        return Err(invalid(
            &target.path,
            format_args!(
                "'{}' makes versions of the image definition that is the source: every run would start the next",
                target.path
            ),
        ));
    }
    Ok(())
}

async fn only_one(app: &App, template: &Resource, key: &ResourceKey) -> Result<(), ApiError> {
    match below(app, &template.key()).await?.iter().find(|other| other.key() != *key) {
        None => Ok(()),
        Some(other) => Err(ApiError::conflict(
            "Conflict",
            format!(
                "The image template '{}' has the trigger '{}' already, and can have one only. Delete that one first.",
                template.name, other.name
            ),
        )),
    }
}

fn new_trigger(template: &TemplateRecord, name: &str) -> TriggerRecord {
    let body = json!({ "properties": { "kind": SOURCE_IMAGE } });
    let id = format!("{}/triggers/{name}", template.row.id);
    let indexed = Some(reconcile::index(template));
    TriggerRecord::new(
        id,
        TRIGGERS_KIND,
        body,
        TriggerHidden { indexed, ..TriggerHidden::default() },
    )
}

pub(super) async fn provision(app: &App, operation: &Operation) -> Result<(), db::Error> {
    let mut writes = vec![ended(operation, Ok(()))];
    let template = TemplateRecord::find(app.store(), &template_key(&operation.target)).await?;
    let trigger = TriggerRecord::find(app.store(), &operation.target).await?;
    if let (Some(template), Some(mut trigger)) = (template, trigger) {
        let newest = reconcile::newest(app, &template).await?;
        let mut watch = trigger.hidden.watch.clone();
        watch.begin(&newest, &template);
        let problem = Problem::unknown_source(&newest);
        watch.put_into(&mut trigger, problem.as_ref(), Timestamp::now());
        trigger.set_provisioning_state("Succeeded");
        writes.push(trigger.replace());
    }
    app.store().commit(writes).await
}

pub(super) async fn remove(app: &App, operation: &Operation) -> Result<(), db::Error> {
    let mut writes = vec![ended(operation, Ok(()))];
    if let Some(trigger) = app.store().resource(&operation.target).await? {
        writes.push(Write::Remove(trigger.key(), trigger.revision));
    }
    app.store().commit(writes).await
}
