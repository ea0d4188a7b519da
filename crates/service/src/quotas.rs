//! Whether the subscription may have more. What is there is counted when something is added, by an index. Requests at the
//! same moment may all find the last place free: a quota bounds what grows, it is not exact to the last one.

use api::ErrorCode;
use arm::ApiError;
use images::error::Error;

use crate::App;

/// `kind` of the rows of image templates.
pub const TEMPLATES_KIND: &str = "microsoft.virtualmachineimages/imagetemplates";

/// One of them, by its name in the file.
struct Quota<'a> {
    name: &'static str,
    what: String,
    limit: u32,
    /// How to get below it.
    way_out: &'a str,
}

impl Quota<'_> {
    /// The error, unless there is room for so many more.
    fn check(&self, usage: i64, more: i64) -> Result<(), Error> {
        if usage.saturating_add(more) <= i64::from(self.limit) {
            return Ok(());
        }
        let Self { name, what, limit, way_out } = self;
        Err(Error::new(
            ErrorCode::QuotaExceeded,
            format!(
                "Operation could not be completed as it results in exceeding the approved quota '{name}': {what}. Current Limit: {limit}, Current Usage: {usage}, Additional Required: {more}. {way_out}, or have '{name}' raised below [limits.quota] in the service's goldsmith.toml."
            ),
        )
        .target(*name))
    }
}

/// Room for another resource of that type.
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
            way_out: "Delete image templates that are not needed",
        },
        _ => Quota {
            name: "resources-of-a-type",
            what: format!("resources of type '{name}' in the subscription"),
            limit: quotas.resources_of_a_type,
            way_out: "Delete resources of this type that are not needed",
        },
    };
    let usage = app.store().count(&app.settings().subscription, &kind).await?;
    quota.check(usage, 1).map_err(refused)
}

/// Room for another run that waits.
pub async fn waiting_run(app: &App) -> Result<Result<(), Error>, db::Error> {
    let quota = Quota {
        name: "waiting-runs",
        what: "runs of the subscription that wait for their turn".to_owned(),
        limit: app.quotas().waiting_runs,
        way_out: "Wait until some are over, or cancel some",
    };
    let usage = app.store().waiting_runs(&app.settings().subscription).await?;
    Ok(quota.check(usage, 1))
}

/// Room for another trigger in a region.
///
/// # Errors
/// `QuotaExceeded`
pub async fn trigger(app: &App, kind: &str, region: &str) -> Result<(), ApiError> {
    let limit = app.quotas().triggers_in_a_region;
    let quota = Quota {
        name: "triggers-in-a-region",
        what: format!("there are {limit} triggers in region '{region}'"),
        limit,
        way_out: "Delete one that is not needed",
    };
    let subscription = &app.settings().subscription;
    let usage = app.store().count_in_region(subscription, kind, region).await?;
    quota.check(usage, 1).map_err(refused)
}

/// Room for scripts of so many bytes.
pub async fn scripts(app: &App, bytes: i64) -> Result<Result<(), Error>, db::Error> {
    const MIB: i64 = 1 << 20;
    let quota = Quota {
        name: "script-storage-mib",
        what: "MiB of scripts and files staged for image templates".to_owned(),
        limit: app.quotas().script_storage_mib,
        way_out: "Delete image templates that are not needed, or have large files fetched by a script",
    };
    let usage = app.store().script_bytes(&app.settings().subscription).await?;
    let up = |bytes: i64| bytes / MIB + i64::from(bytes % MIB > 0);
    Ok(quota.check(up(usage), up(usage + bytes) - up(usage)))
}

/// As an answer.
pub fn refused(error: Error) -> ApiError {
    let target = error.target.clone().unwrap_or_default();
    ApiError::conflict(error.code.name(), error.message).target(target)
}
