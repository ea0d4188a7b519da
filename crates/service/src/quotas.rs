//! Checks of quotas. Each check counts the existing resources with an index. A quota is approximate: concurrent requests
//! can exceed it.

use api::ErrorCode;
use arm::ApiError;
use images::error::Error;

use crate::App;

/// `kind` of the rows of image templates.
pub const TEMPLATES_KIND: &str = "microsoft.virtualmachineimages/imagetemplates";

/// A quota. `name` is its name in the file.
struct Quota<'a> {
    name: &'static str,
    what: String,
    limit: u32,
    /// How to get below it.
    remedy: &'a str,
}

impl Quota<'_> {
    /// Checks that the quota allows `more`.
    fn check(&self, usage: i64, more: i64) -> Result<(), Error> {
        if usage.saturating_add(more) <= i64::from(self.limit) {
            return Ok(());
        }
        let Self { name, what, limit, remedy } = self;
        Err(Error::new(
            ErrorCode::QuotaExceeded,
            format!(
                "Operation could not be completed as it results in exceeding the approved quota '{name}': {what}. Current Limit: {limit}, Current Usage: {usage}, Additional Required: {more}. {remedy}, or have '{name}' raised below [limits.quota] in the service's goldsmith.toml."
            ),
        )
        .target(*name))
    }
}

/// Checks the quota for another resource of a type.
///
/// # Errors
/// `QuotaExceeded`
pub async fn resource(app: &App, name: &str) -> Result<(), ApiError> {
    let kind = name.to_lowercase();
    let quotas = app.quotas();
    let quota = match kind.as_str() {
        TEMPLATES_KIND => Quota {
            name: "templates",
            what: "image templates of the subscription".to_owned(),
            limit: quotas.templates,
            remedy: "Delete image templates that are not needed",
        },
        _ => Quota {
            name: "resources-of-a-type",
            what: format!("resources of type '{name}' in the subscription"),
            limit: quotas.resources_of_a_type,
            remedy: "Delete resources of this type that are not needed",
        },
    };
    let usage = app.store().count(app.subscription(), &kind).await?;
    quota.check(usage, 1).map_err(to_api_error)
}

/// Checks the quota for another queued run.
pub async fn waiting_run(app: &App) -> Result<Result<(), Error>, db::Error> {
    let quota = Quota {
        name: "waiting-runs",
        what: "queued runs of the subscription".to_owned(),
        limit: app.quotas().waiting_runs,
        remedy: "Wait until some have ended, or cancel some",
    };
    let usage = app.store().waiting_runs(app.subscription()).await?;
    Ok(quota.check(usage, 1))
}

/// Checks the quota for another trigger in a region.
///
/// # Errors
/// `QuotaExceeded`
pub async fn trigger(app: &App, kind: &str, region: &str) -> Result<(), ApiError> {
    let limit = app.quotas().triggers_in_a_region;
    let quota = Quota {
        name: "triggers-in-a-region",
        what: format!("there are {limit} triggers in region '{region}'"),
        limit,
        remedy: "Delete one that is not needed",
    };
    let usage = app.store().count_in_region(app.subscription(), kind, region).await?;
    quota.check(usage, 1).map_err(to_api_error)
}

/// Checks the quota for scripts of a total size.
pub async fn scripts(app: &App, bytes: i64) -> Result<Result<(), Error>, db::Error> {
    const MIB: i64 = 1 << 20;
    let quota = Quota {
        name: "script-storage-mib",
        what: "MiB of scripts and files staged for image templates".to_owned(),
        limit: app.quotas().script_storage_mib,
        remedy: "Delete image templates that are not needed, or have large files fetched by a script",
    };
    let usage = app.store().script_bytes(app.subscription()).await?;
    let up = |bytes: i64| bytes / MIB + i64::from(bytes % MIB > 0);
    Ok(quota.check(up(usage), up(usage + bytes) - up(usage)))
}

/// The error for clients.
pub fn to_api_error(error: Error) -> ApiError {
    let target = error.target.clone().unwrap_or_default();
    ApiError::conflict(error.code.name(), error.message).target(target)
}
