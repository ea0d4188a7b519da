//! `imageTemplates`: the resource type.

use api::template::ApiVersion;
use arm::{Actions, ApiError, Call, Reply, ResourceType, Verb, region, rows};
use async_trait::async_trait;
use db::{Resource, ResourceKey, Write};
use engine::template::{Template, downloads};
use serde_json::{Value, json};
use service::{App, quotas};

use super::{
    API_VERSIONS, GROUPS_KIND, PUT_TEMPLATE, TEMPLATE_ACTIONS, TEMPLATES, body, check, check_name,
    delete, patch,
    record::{Hidden, TemplateRecord},
    rights::{self, Parts},
    run, schedules, staging, start, version, view,
};
use crate::storage;

/// The resource type `imageTemplates`.
#[derive(Debug)]
pub(crate) struct ImageTemplates;

#[async_trait]
impl ResourceType<App> for ImageTemplates {
    fn actions(&self) -> &'static Actions {
        &TEMPLATE_ACTIONS
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn api_versions(&self) -> &'static [&'static str] {
        API_VERSIONS
    }

    async fn preflight(&self, app: &App, call: &Call) -> Result<(), ApiError> {
        check_name("image template", call.path.names().first().copied().unwrap_or_default())?;
        let (_sent, template) = check::template(call)?;
        rights::check_caller(app, call, &template, Parts::ALL).await?;
        let location = template.location.as_deref().unwrap_or_default();
        region::check(app.context(), TEMPLATES, location)?;
        schedules::check(&json!(template.tags))
    }

    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let name = call.path.names().first().copied().unwrap_or_default().to_owned();
        check_name("image template", &name)?;
        let group = group(app, call).await?;
        if rows::find(app.context(), call, &key).await?.is_some() {
            return Err(exists());
        }
        let (sent, template) = check::template(call)?;
        rights::check_caller(app, call, &template, Parts::ALL).await?;
        let location = template.location.as_deref().unwrap_or_default();
        let location = region::check(app.context(), TEMPLATES, location)?;
        check::identities(app, &template).await?;
        schedules::check(&json!(template.tags))?;
        check::subnet(app, &template).await?;

        if template.properties.auto_run {
            quotas::waiting_run(app).await?.map_err(quotas::to_api_error)?;
        }

        let body = body::created(&sent, &template, &location);
        let record = new_record(&group, &name, body, &template, version(call))?;
        if !downloads(&template).is_empty()
            && let Some(shortage) = app.shortage().await
        {
            let text = format!(
                "The template names scripts or files to fetch, and {}. Try again once there is room.",
                shortage.text()
            );
            return Err(ApiError::disk_full(text));
        }
        let row = record.into_row();
        let writes = vec![Write::Insert(row.clone())];
        let started = start(app, call, (PUT_TEMPLATE, &location), &key, writes).await?;
        Ok(started.put(true, view::template(call, &row)))
    }

    async fn patch(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        patch::patch(app, call, &key).await
    }

    async fn delete(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        delete::delete(app, call, &key).await
    }

    async fn action(
        &self,
        app: &App,
        call: &Call,
        key: ResourceKey,
        verb: &'static Verb,
    ) -> Result<Reply, ApiError> {
        match verb.name {
            "run" => run::submit(app, call, &key).await,
            _ => run::cancel(app, call, &key).await,
        }
    }

    fn view(&self, app: &App, call: &Call, resource: &Resource) -> Value {
        let mut body = view::template(call, resource);
        view::say_waits(app, &mut body);
        body
    }
}

fn exists() -> ApiError {
    ApiError::conflict(
        "Conflict",
        "Update/Upgrade of image templates is currently not supported. Delete the image template and create it again, or PATCH its tags, identity, distribute or vmProfile.",
    )
}

/// The group that the path names.
pub(super) async fn group(app: &App, call: &Call) -> Result<Resource, ApiError> {
    let subscription = call.path.scope.subscription().unwrap_or_default();
    let name = call.path.scope.group().unwrap_or_default();
    let key = ResourceKey::of(&format!("/subscriptions/{subscription}/resourceGroups/{name}"));
    let found = app.store().resource(&key).await?;
    found.filter(|group| group.kind == GROUPS_KIND).ok_or_else(|| ApiError::group_not_found(name))
}

fn new_record(
    group: &Resource,
    name: &str,
    body: Value,
    template: &Template,
    version: ApiVersion,
) -> Result<TemplateRecord, ApiError> {
    let id = format!("{}/providers/{TEMPLATES}/{name}", group.id);
    let named = template.properties.staging_resource_group.as_ref().map(ToString::to_string);
    // Chosen before provisioning, so that a provisioning resumed after a restart makes the same group and account.
    let hidden = Hidden {
        api_version: Some(version.name().to_owned()),
        staging: Some(named.unwrap_or_else(|| staging::new_id(group, name))),
        staging_account: Some(storage::new_name()?),
        ..Hidden::default()
    };
    Ok(TemplateRecord::new(id, quotas::TEMPLATES_KIND, body, hidden))
}
