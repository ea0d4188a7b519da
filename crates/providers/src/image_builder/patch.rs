//! PATCH of a template: tags, identity, `distribute` and `vmProfile`; everything else is for ever.

use api::{
    ErrorCode,
    template::{ApiVersion, Face, Identity, ParseOptions, Template},
};
use arm::{
    ApiError, Call, Reply,
    operation::{self, Started},
};
use db::{Operation, Resource, ResourceKey, Write};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use service::{App, app::changes, tasks};

use super::{
    PATCH_TEMPLATE, advance, agree, body,
    check::{self, invalid},
    load, machine,
    run::{busy, input},
    schedules, settle, source, template_not_found, triggers, until_done, version,
};
use crate::image_builder::{
    NAMESPACE,
    failure::Failure,
    state::{self, Event, State},
};

/// 202: the change is on disk, `provisioningState` is `Updating` until [`finish`].
pub(super) async fn patch(app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
    let change = Change::read(call)?;
    for _ in 0..8 {
        let Some((mut template, run)) = load(app, call, &key).await? else {
            return Err(template_not_found(call));
        };
        // First, so that what is not allowed now is not looked at.
        advance(&mut template, run.as_ref(), Event::Update)?;
        let template = change.apply(app, call, template).await?;
        let region = template.body["location"].as_str().unwrap_or_default().to_owned();
        let started = Started::in_region(call, NAMESPACE, PATCH_TEMPLATE, key.clone(), &region);
        let mut writes = vec![Write::Operation(started.row.clone())];
        if change.tags.is_some() {
            writes.extend(schedules::follow_tags(app, &template, Timestamp::now()).await?);
        }
        writes.push(Write::Replace(template));
        match app.store().commit(writes).await {
            Err(db::Error::Stale { .. }) => {}
            result => {
                result?;
                tasks::spawn(app, "patch", finish(app.clone(), started.row.clone()));
                return Ok(started.accepted());
            }
        }
    }
    Err(busy())
}

/// Back to `Succeeded`; to be begun anew after a restart.
pub(super) async fn finish(app: App, operation: Operation) {
    until_done(&app, "update an image template", || attempt(&app, &operation)).await;
}

async fn attempt(app: &App, operation: &Operation) -> Result<(), db::Error> {
    let mut writes = vec![Write::Operation(operation::ended(operation.clone(), Ok(())))];
    let found = app.store().resource(&operation.target).await?;
    let updating =
        |template: &Resource| State::of(template, None).template == state::Template::Updating;
    if let Some(mut template) = found.filter(updating)
        && advance(&mut template, None, Event::Settled { ok: true }).is_ok()
    {
        if let Ok(typed) = settle::typed(&template) {
            settle::identity_ids(app, &typed, &mut template).await?;
        }
        writes.push(Write::Replace(template));
    }
    app.store().commit(writes).await?;
    app.changes().add(changes::Change::Template(operation.target.clone()));
    app.wake_schedules();
    Ok(())
}

/// What is asked for; null is absent.
#[derive(Debug, Default)]
struct Change {
    tags: Option<Value>,
    identity: Option<Map<String, Value>>,
    distribute: Option<Value>,
    vm_profile: Option<Value>,
}

impl Change {
    fn read(call: &Call) -> Result<Self, ApiError> {
        let version = version(call);
        let mut change = Self::default();
        for (name, value) in given(call.json()?) {
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
        for (name, value) in given(properties) {
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

    /// The template with the change in it.
    async fn apply(
        &self,
        app: &App,
        call: &Call,
        mut template: Resource,
    ) -> Result<Resource, ApiError> {
        let stored: ApiVersion = template.hidden["apiVersion"]
            .as_str()
            .and_then(|version| version.parse().ok())
            .unwrap_or(ApiVersion::LATEST);
        let mut wanted = input(&template);
        if let Some(tags) = &self.tags {
            wanted["tags"] = tags.clone();
        }
        if let Some(identity) = &self.identity {
            wanted["identity"] = merged_identity(&template.body["identity"], identity);
        }
        for (name, value) in [("distribute", &self.distribute), ("vmProfile", &self.vm_profile)] {
            if let Some(value) = value {
                wanted["properties"][name] = value.clone();
            }
        }
        let version = version(call).max(stored);
        let typed = read(&wanted, version, call)?;
        self.check(app, &typed, &template).await?;

        template.hidden["apiVersion"] = json!(version.name());
        if self.tags.is_some() {
            schedules::check(&json!(typed.tags))?;
            template.body["tags"] = json!(typed.tags);
        }
        if self.identity.is_some() {
            template.body["identity"] = wanted["identity"].clone();
        }
        let properties = &mut template.body["properties"];
        if let Some(sent) = &self.distribute {
            properties["distribute"] = body::distribute(sent, &typed);
        }
        if let Some(sent) = &self.vm_profile {
            properties["vmProfile"] = body::vm_profile(sent, &typed);
        }
        Ok(template)
    }

    async fn check(
        &self,
        app: &App,
        typed: &Template,
        template: &Resource,
    ) -> Result<(), ApiError> {
        if self.identity.is_some()
            && let Some(Identity::UserAssigned { id }) = &typed.identity
        {
            check::identity(app, "identity.userAssignedIdentities", &id.to_string()).await?;
        }
        if self.vm_profile.is_some() {
            check::subnet(app, typed).await?;
            let profile = typed.properties.vm_profile.as_ref();
            let ids = profile.map(|profile| profile.user_assigned_identities.as_slice());
            for id in ids.unwrap_or_default() {
                let target = "properties.vmProfile.userAssignedIdentities";
                check::identity(app, target, &id.to_string()).await?;
            }
            let refuse = |error: images::error::Error| {
                let target = error.target.clone().unwrap_or_default();
                let hint = error.hint.clone().unwrap_or_default();
                invalid(&target, format_args!("{error}; {hint}"))
            };
            engine::build::check_sizes(typed).map_err(refuse)?;
            machine::check(app, typed).await.map_err(refuse)?;
        }
        if self.distribute.is_some() {
            keeps_targets(typed, template)?;
            triggers::keeps(app, template, typed).await?;
            if let Ok(exact) = source::resolve(app, typed).await?
                && let Some(error) = agree::disagreement(app, typed, &exact).await?
            {
                let target = error.target.clone().unwrap_or_default();
                let failure = Failure::from(error);
                return Err(ApiError::bad_request(failure.code, failure.message).target(target));
            }
        }
        Ok(())
    }
}

/// Fields that are there; null is absent.
fn given(object: Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
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

/// Null takes an identity away, anything else adds it; ids are compared without case. Without any
/// left the type is `None`.
fn merged_identity(current: &Value, change: &Map<String, Value>) -> Value {
    let field = |name: &str| {
        change.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let kind = field("type").and_then(Value::as_str);
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("None")) {
        return json!({ "type": "None" });
    }
    let ids = current["userAssignedIdentities"].as_object().cloned().unwrap_or_default();
    let mut ids: Vec<(String, Value)> = ids.into_iter().collect();
    let changes = field("userAssignedIdentities").and_then(Value::as_object);
    for (id, value) in changes.into_iter().flatten() {
        ids.retain(|(own, _)| !own.eq_ignore_ascii_case(id));
        if !value.is_null() {
            ids.push((id.clone(), json!({})));
        }
    }
    if ids.is_empty() && changes.is_some() {
        return json!({ "type": "None" });
    }
    let ids: Map<String, Value> = ids.into_iter().collect();
    json!({ "type": kind.unwrap_or("UserAssigned"), "userAssignedIdentities": ids })
}

/// Reads the whole as it would be. A template of the preview may lack an identity, and go on so.
fn read(wanted: &Value, version: ApiVersion, call: &Call) -> Result<Template, ApiError> {
    let version =
        if wanted["identity"].is_null() { ApiVersion::V2019_05_01Preview } else { version };
    let options = ParseOptions { api_version: Some(version), face: Face::Service };
    check::read_as(&wanted.to_string(), &options).inspect_err(|error| {
        tracing::debug!(request.id = call.request_id, error = error.message, "PATCH refused");
    })
}

/// Targets are replaced by their names; none may go.
fn keeps_targets(typed: &Template, template: &Resource) -> Result<(), ApiError> {
    let old = template.body["properties"]["distribute"].as_array();
    for target in old.into_iter().flatten() {
        let name = target["runOutputName"].as_str().unwrap_or_default();
        let mut new = typed.properties.distribute.iter();
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
