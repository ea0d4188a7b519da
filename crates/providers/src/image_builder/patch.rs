//! PATCH of a template: tags, identity, `distribute` and `vmProfile`. Everything else is fixed.

use api::{
    ErrorCode,
    template::{ApiVersion, Face, Identity, ParseOptions},
};
use arm::{ApiError, Call, Reply};
use db::{Operation, ResourceKey};
use engine::template::Template;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use service::{App, app::changes};

use super::{
    PATCH_TEMPLATE, advance,
    body::Change,
    check::{self, invalid},
    compatibility, ended,
    failure::Failure,
    load_existing, machine, provision,
    record::TemplateRecord,
    rights::{self, Parts},
    schedules, source, start,
    state::{self, Event, State},
    triggers, version,
};

/// 202: the change is on disk, `provisioningState` is `Updating` until [`finish`].
pub(super) async fn patch(app: &App, call: &Call, key: &ResourceKey) -> Result<Reply, ApiError> {
    let change = Change::read(call)?;
    let (mut template, run) = load_existing(app, call, key).await?;
    // First, so that a change that is not allowed now is not checked.
    advance(&mut template, run.as_ref(), Event::Update)?;
    change.apply(app, call, &mut template).await?;
    let region = template.location().to_owned();
    let mut writes = Vec::new();
    if change.tags.is_some() {
        writes.extend(schedules::follow_tags(app, &template, Timestamp::now()).await?);
    }
    writes.push(template.replace());
    let started = start(app, call, (PATCH_TEMPLATE, &region), key, writes).await?;
    Ok(started.accepted())
}

/// Back to `Succeeded`.
pub(super) async fn finish(app: &App, operation: &Operation) -> Result<(), db::Error> {
    let mut writes = vec![ended(operation, Ok(()))];
    let found = TemplateRecord::find(app.store(), &operation.target).await?;
    let updating =
        |template: &TemplateRecord| State::of(template, None).template == state::Template::Updating;
    if let Some(mut template) = found.filter(updating)
        && advance(&mut template, None, Event::Provisioned { ok: true }).is_ok()
    {
        if let Ok(typed) = template.template().cloned() {
            provision::show_principal(app, &typed, &mut template).await?;
        }
        writes.push(template.replace());
    }
    app.store().commit(writes).await?;
    app.changes().add(changes::Change::Template(operation.target.clone()));
    app.wake_schedules();
    Ok(())
}

impl Change {
    fn read(call: &Call) -> Result<Self, ApiError> {
        let version = version(call);
        let mut change = Self::default();
        for (name, value) in present(call.json()?) {
            match canonical(version, &name, &["tags", "identity", "properties"]) {
                Some("tags") => change.tags = Some(value),
                Some("identity") => match value {
                    Value::Object(identity) => change.identity = Some(identity),
                    _ => return Err(not_an_object("identity")),
                },
                Some("properties") => match value {
                    Value::Object(properties) => change.read_properties(version, properties)?,
                    _ => return Err(not_an_object("properties")),
                },
                _ => return Err(fixed(&name)),
            }
        }
        Ok(change)
    }

    fn read_properties(
        &mut self,
        version: ApiVersion,
        properties: Map<String, Value>,
    ) -> Result<(), ApiError> {
        for (name, value) in present(properties) {
            let path = format!("properties.{name}");
            let (since, place) = match canonical(version, &name, &["distribute", "vmProfile"]) {
                Some("distribute") => (ApiVersion::V2023_07_01, &mut self.distribute),
                Some("vmProfile") => (ApiVersion::V2024_02_01, &mut self.vm_profile),
                _ => return Err(fixed(&path)),
            };
            if version < since {
                return Err(invalid(
                    &path,
                    format_args!(
                        "'ImageTemplate.properties': Field '{name}' cannot be updated with api-version {version}; it can from {since}"
                    ),
                ));
            }
            *place = Some(value);
        }
        Ok(())
    }

    /// Checks the change and makes it.
    async fn apply(
        &self,
        app: &App,
        call: &Call,
        template: &mut TemplateRecord,
    ) -> Result<(), ApiError> {
        let stored = template.hidden.version().unwrap_or(ApiVersion::LATEST);
        let wanted = self.requested(template.run_input());
        let version = version(call).max(stored);
        let typed = read(&wanted, version, call)?;
        self.check(app, call, &typed, template).await?;
        if self.tags.is_some() {
            schedules::check(&json!(typed.tags))?;
        }
        template.change(typed, version, |body, typed| self.store(body, &wanted, typed));
        Ok(())
    }

    async fn check(
        &self,
        app: &App,
        call: &Call,
        typed: &Template,
        template: &TemplateRecord,
    ) -> Result<(), ApiError> {
        let parts = Parts {
            identity: self.identity.is_some(),
            machine: self.vm_profile.is_some(),
            fixed: false,
        };
        rights::check_caller(app, call, typed, parts).await?;
        if self.identity.is_some()
            && let Some(Identity::UserAssigned { id }) = &typed.identity
        {
            check::identity(app, "identity.userAssignedIdentities", &id.to_string()).await?;
        }
        if self.vm_profile.is_some() {
            check::subnet(app, typed).await?;
            check::machine_identities(app, typed).await?;
            let refuse = |error: images::error::Error| {
                let target = error.target.clone().unwrap_or_default();
                let hint = error.hint.clone().unwrap_or_default();
                invalid(&target, format_args!("{error}; {hint}"))
            };
            engine::build::check_sizes(typed).map_err(refuse)?;
            machine::check(app, typed).await.map_err(refuse)?;
        }
        self.check_identity(app, typed).await?;
        if self.distribute.is_some() {
            keeps_targets(typed, template)?;
            triggers::keeps(app, template, typed).await?;
            if let Ok(exact) = source::resolve(app, typed).await?
                && let Some(error) = compatibility::disagreement(app, typed, &exact).await?
            {
                let target = error.target.clone().unwrap_or_default();
                let failure = Failure::from(error);
                return Err(ApiError::bad_request(failure.code, failure.message).target(target));
            }
        }
        Ok(())
    }

    /// Checks that the identity may do what the changed template asks. One that is left without an identity keeps its
    /// state; its runs fail.
    async fn check_identity(&self, app: &App, typed: &Template) -> Result<(), ApiError> {
        let is_changed =
            self.identity.is_some() || self.vm_profile.is_some() || self.distribute.is_some();
        if !is_changed || !matches!(typed.identity, Some(Identity::UserAssigned { .. })) {
            return Ok(());
        }
        rights::check(app, typed).await?.map_err(|failure| {
            ApiError::new(http::StatusCode::FORBIDDEN, failure.code, failure.message)
        })
    }
}

/// The fields of the object; null is absent.
fn present(object: Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    object.into_iter().filter(|(_, value)| !value.is_null())
}

/// The known name that is meant: strict versions compare with case.
fn canonical(version: ApiVersion, name: &str, known: &[&'static str]) -> Option<&'static str> {
    let is = |known: &&'static str| {
        *known == name || !version.is_strict() && known.eq_ignore_ascii_case(name)
    };
    known.iter().copied().find(|known| is(known))
}

fn fixed(path: &str) -> ApiError {
    invalid(
        path,
        format_args!(
            "'ImageTemplate': Field '{path}' cannot be updated. Only tags, identity, properties.distribute and properties.vmProfile can; for anything else delete the image template and create it again"
        ),
    )
}

fn not_an_object(path: &str) -> ApiError {
    invalid(path, format_args!("'ImageTemplate': Field '{path}' has a bad value: it is an object"))
}

/// Reads the changed template. A template of the preview may lack an identity, and keeps that right.
fn read(wanted: &Value, version: ApiVersion, call: &Call) -> Result<Template, ApiError> {
    let version =
        if wanted["identity"].is_null() { ApiVersion::V2019_05_01Preview } else { version };
    let options = ParseOptions { api_version: Some(version), face: Face::Service };
    check::read(&wanted.to_string(), &options).inspect_err(|error| {
        tracing::debug!(request.id = call.request_id, error = error.message, "PATCH refused");
    })
}

/// A target replaces the one of its name; none can be removed.
fn keeps_targets(changed: &Template, template: &TemplateRecord) -> Result<(), ApiError> {
    let old = template.template().map_err(|failure| invalid("properties", failure.message))?;
    for name in old.properties.distribute.iter().map(|target| &target.run_output_name) {
        let mut new = changed.properties.distribute.iter();
        if !new.any(|target| target.run_output_name.eq_ignore_ascii_case(name)) {
            return Err(ApiError::bad_request(
                ErrorCode::ValidationFailed.name(),
                format!(
                    "Validation failed: Distribute target with Runoutput name {name} not found in the update request. Deleting a distribution target is not allowed."
                ),
            )
            .target("properties.distribute"));
        }
    }
    Ok(())
}
