//! Checks of a template before it is stored.

use api::{
    ErrorCode,
    template::{Diagnostic, Face, Identity, ParseOptions, Severity},
};
use arm::{ApiError, Call};
use db::ResourceKey;
use engine::template::{Template, parse};
use serde_json::{Map, Value};
use service::App;

use super::version;
use crate::network::{binding, subnet};

/// The body as JSON and as a template.
///
/// # Errors
/// Every mistake of the template: one as itself, several as the first with all of them in `details`.
pub(super) fn template(call: &Call) -> Result<(Value, Template), ApiError> {
    let sent = Value::Object(call.json()?);
    let options = ParseOptions { api_version: Some(version(call)), face: Face::Service };
    Ok((sent, read(&call.body, &options)?))
}

/// Reads a template.
pub(super) fn read(text: &str, options: &ParseOptions) -> Result<Template, ApiError> {
    let parsed = parse(text, options);
    match parsed.template {
        Some(template) => Ok(template),
        None => Err(refusal(&parsed.diagnostics)),
    }
}

/// The mistakes of a template as one error.
fn refusal(diagnostics: &[Diagnostic]) -> ApiError {
    let errors: Vec<ApiError> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .map(one)
        .collect();
    match errors.as_slice() {
        [] => ApiError::internal("a template was refused without a reason"),
        [one] => one.clone(),
        [first, others @ ..] => {
            let code = if others.iter().all(|other| other.code == first.code) {
                first.code.clone()
            } else {
                ErrorCode::ValidationFailed.name().to_owned()
            };
            let mut all = ApiError::bad_request(code, first.message.clone());
            all.target.clone_from(&first.target);
            all.details = errors;
            all
        }
    }
}

fn one(diagnostic: &Diagnostic) -> ApiError {
    let mut message = diagnostic.message.clone();
    if let Some(hint) = &diagnostic.hint {
        message = format!("{}. To fix it: {hint}", message.trim_end_matches('.'));
    }
    let error = ApiError::bad_request(diagnostic.code.name(), message);
    if diagnostic.path.is_empty() { error } else { error.target(diagnostic.path.clone()) }
}

/// A mistake at a field, in Azure's words.
pub(super) fn invalid(target: &str, message: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(
        ErrorCode::ValidationFailed.name(),
        format!("Validation failed: {message}"),
    )
    .target(target)
}

/// Every identity that the template names must be there.
pub(super) async fn identities(app: &App, template: &Template) -> Result<(), ApiError> {
    if let Some(Identity::UserAssigned { id }) = &template.identity {
        identity(app, "identity.userAssignedIdentities", &id.to_string()).await?;
    }
    machine_identities(app, template).await
}

/// The same for the identities of the build machine.
pub(super) async fn machine_identities(app: &App, template: &Template) -> Result<(), ApiError> {
    let profile = template.properties.vm_profile.as_ref();
    for id in profile.map(|profile| profile.user_assigned_identities.as_slice()).unwrap_or_default()
    {
        let target = "properties.vmProfile.userAssignedIdentities";
        identity(app, target, &id.to_string()).await?;
    }
    Ok(())
}

/// The identity of that id must be there.
pub(super) async fn identity(app: &App, target: &str, id: &str) -> Result<(), ApiError> {
    if found_identity(app, id).await?.is_some() {
        return Ok(());
    }
    Err(invalid(
        target,
        format_args!(
            "'ImageTemplate.{target}': the user-assigned identity '{id}' was not found. Create it first, or name one that exists"
        ),
    ))
}

/// The subnet that the template names must be there, and be bound to a bridge of this host. The one
/// of the builder's container and the size of the proxy machine have no effect here, where neither is
/// needed, and are not looked up.
pub(super) async fn subnet(app: &App, template: &Template) -> Result<(), ApiError> {
    let Some(id) = engine::build::wanted_subnet(template) else { return Ok(()) };
    let target = engine::build::SUBNET_FIELD;
    let found = app.store().resource(&ResourceKey::of(&id.to_string())).await?;
    if !found.is_some_and(|resource| resource.kind.eq_ignore_ascii_case(subnet::NAME)) {
        return Err(invalid(
            target,
            format_args!(
                "'ImageTemplate.{target}': the subnet '{id}' was not found. Create it first, or name one that exists"
            ),
        ));
    }
    if binding::bridge(app, id).is_some() {
        return Ok(());
    }
    let error = engine::build::unbound_subnet(&app.settings().layout, id);
    let way_out = error.hint.clone().unwrap_or_default();
    Err(invalid(
        target,
        format_args!("'ImageTemplate.{target}': {}. To fix it: {way_out}", error.message),
    ))
}

/// `{principalId, clientId}` of an identity.
pub(super) async fn found_identity(app: &App, id: &str) -> Result<Option<Value>, db::Error> {
    let found = app.store().resource(&ResourceKey::of(id)).await?;
    let kind = "microsoft.managedidentity/userassignedidentities";
    Ok(found.filter(|resource| resource.kind == kind).map(|resource| {
        let properties = &resource.body["properties"];
        let mut ids = Map::new();
        for name in ["principalId", "clientId"] {
            ids.insert(name.to_owned(), properties[name].clone());
        }
        Value::Object(ids)
    }))
}
