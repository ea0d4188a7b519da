//! `resourceId` and its relatives. They put an id together and look nothing up.

use super::{ANY, Arguments, Entry, entry};
use crate::error::Fault;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("extensionResourceId", 3..=ANY, extension_resource_id),
    entry("managementGroupResourceId", 2..=ANY, management_group_resource_id),
    entry("resourceId", 2..=ANY, resource_id),
    entry("subscriptionResourceId", 2..=ANY, subscription_resource_id),
    entry("tenantResourceId", 2..=ANY, tenant_resource_id),
];

/// A call in parts: what stands before the type, and `/providers/...` with type and names.
struct Call<'a> {
    name: &'static str,
    scope: Vec<&'a str>,
    resource: String,
}

impl<'a> Call<'a> {
    /// The type is the first argument with a slash, `most` arguments after the start at the latest.
    fn read(arguments: &Arguments<'a>, name: &'static str, most: usize) -> Result<Self, Fault> {
        let mut texts = Vec::new();
        for index in 0..arguments.values.len() {
            texts.push(&**arguments.string(index)?);
        }
        let at = texts.iter().take(most + 1).position(|text| text.contains('/'));
        let Some(at) = at else {
            return Err(Fault::new(format!(
                "Unable to evaluate template language function '{name}': one of the first {} \
                 argument(s) must be a fully qualified resource type",
                most + 1
            )));
        };
        let resource = resource(name, texts[at], &texts[at + 1..])?;
        arguments.budget.charge_bytes(resource.len())?;
        texts.truncate(at);
        Ok(Self { name, scope: texts, resource })
    }

    /// A part of the scope that the deployment must give because the call does not.
    fn required<'t>(&self, part: Option<&'t str>, what: &str) -> Result<&'t str, Fault> {
        part.ok_or_else(|| {
            Fault::new(format!(
                "Unable to evaluate template language function '{}': the deployment has no {what}, \
                 so the function needs one as an argument",
                self.name
            ))
        })
    }
}

/// Names stand between the segments of the type.
fn resource(function: &str, kind: &str, names: &[&str]) -> Result<String, Fault> {
    // Azure's own samples write `Microsoft.Resources/resourceGroups/`.
    let mut segments = kind.trim_end_matches('/').split('/');
    let namespace = segments.next().unwrap_or_default();
    let types: Vec<&str> = segments.collect();
    if types.len() != names.len() {
        return Err(Fault::new(format!(
            "Unable to evaluate template language function '{function}': the type '{kind}' \
             requires '{}' resource name argument(s)",
            types.len()
        )));
    }
    let mut id = format!("/providers/{namespace}");
    for (kind, name) in types.iter().zip(names) {
        id.push_str(&format!("/{kind}/{name}"));
    }
    Ok(id)
}

/// At a resource group's scope without arguments before the type, a resource of that group; at a
/// subscription's, of the subscription.
fn resource_id(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let call = Call::read(arguments, "resourceId", 2)?;
    let environment = arguments.environment;
    let own_group = environment.resource_group.as_deref();
    let own_subscription = environment.subscription.as_deref();
    let (subscription, group) = match call.scope[..] {
        [subscription, group] => (subscription, Some(group)),
        [subscription] if own_group.is_none() && is_uuid(subscription) => (subscription, None),
        [group] => (call.required(own_subscription, "subscription")?, Some(group)),
        _ => (call.required(own_subscription, "subscription")?, own_group),
    };
    let group = group.map(|group| format!("/resourceGroups/{group}")).unwrap_or_default();
    Ok(format!("/subscriptions/{subscription}{group}{}", call.resource).into())
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn subscription_resource_id(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let call = Call::read(arguments, "subscriptionResourceId", 1)?;
    let own = arguments.environment.subscription.as_deref();
    let subscription = call.required(call.scope.first().copied().or(own), "subscription")?;
    Ok(format!("/subscriptions/{subscription}{}", call.resource).into())
}

fn management_group_resource_id(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let call = Call::read(arguments, "managementGroupResourceId", 1)?;
    let own = arguments.environment.management_group.as_deref();
    let group = call.required(call.scope.first().copied().or(own), "management group")?;
    let scope = "/providers/Microsoft.Management/managementGroups";
    Ok(format!("{scope}/{group}{}", call.resource).into())
}

fn tenant_resource_id(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Ok(Call::read(arguments, "tenantResourceId", 0)?.resource.into())
}

fn extension_resource_id(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let scope = arguments.string(0)?.trim_end_matches('/');
    let rest = Arguments { values: &arguments.values[1..], ..*arguments };
    let call = Call::read(&rest, "extensionResourceId", 0)?;
    arguments.budget.charge_bytes(scope.len())?;
    Ok(format!("{scope}{}", call.resource).into())
}
