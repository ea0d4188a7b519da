//! Where a deployment would take place: what `resourceGroup()`, `subscription()` and the like give.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api::ErrorCode;
use arm_template::{Facts, Schema, Scope, Template, Value};
use images::error::Error;
use jiff::Timestamp;

use super::json::object;
use crate::{cli, cmd::Result};

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
const RESOURCE_GROUP: &str = "goldsmith";
const MANAGEMENT_GROUP: &str = "goldsmith";
/// The first region of a service with default options.
const LOCATION: &str = "westus2";
/// How long one evaluation may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// The facts of a deployment of the template, now.
pub(super) fn facts(args: &cli::Deployment, template: &Template, name: &str) -> Result<Facts> {
    let subscription = segment(args.subscription.as_deref(), "--subscription", SUBSCRIPTION)?;
    let group = segment(args.resource_group.as_deref(), "--resource-group", RESOURCE_GROUP)?;
    let location = location(args);
    let scope = match template.schema() {
        Schema::ResourceGroup => Scope::ResourceGroup { subscription, name: group },
        Schema::Subscription => Scope::Subscription(subscription),
        Schema::ManagementGroup => Scope::ManagementGroup(MANAGEMENT_GROUP.into()),
        Schema::Tenant => Scope::Tenant,
    };
    let now = Timestamp::now();
    let began = Instant::now();
    let facts = Facts {
        preview: true,
        seed: format!("{name} {now}").into(),
        location: scope.resource_group().is_none().then(|| location.into()),
        stop: Some(Arc::new(move || began.elapsed() > DEADLINE)),
        ..Facts::new(name, scope, now)
    };
    Ok(with_group(facts, location))
}

/// The region of every resource group.
pub(super) fn location(args: &cli::Deployment) -> &str {
    args.location.as_deref().unwrap_or(LOCATION)
}

/// The facts with the resource group, unless it is known already.
pub(super) fn with_group(facts: Facts, location: &str) -> Facts {
    let group = facts.scope.resource_group().map(|name| {
        object([
            ("id", Some(facts.scope.to_string().into())),
            ("name", Some(name.clone().into())),
            ("type", Some("Microsoft.Resources/resourceGroups".into())),
            ("location", Some(location.into())),
            ("tags", Some(object([]))),
            ("properties", Some(object([("provisioningState", Some("Succeeded".into()))]))),
        ])
    });
    let resource_group: Option<Value> = facts.resource_group.clone().or(group);
    Facts { resource_group, ..facts }
}

/// A segment of a resource id.
fn segment(given: Option<&str>, flag: &str, default: &str) -> Result<Arc<str>> {
    let text = given.unwrap_or(default);
    if text.is_empty() || text.contains(['/', '?', '#']) {
        let message = format!("`{text}` cannot be part of a resource id");
        return Err(Error::new(ErrorCode::InvalidArgument, message).target(flag).into());
    }
    Ok(text.into())
}
