//! The resources of a group that a template does not have: what Complete mode deletes.

use std::{collections::BTreeSet, time::Duration};

use arm::{ApiError, denied, read_of, region};
use arm_template::Plan;
use authorization::{Need, Scope};
use db::{Resource, ResourceKey, Select};
use http::StatusCode;
use providers::REGISTRY;
use service::read_only;

use crate::{ask::url, manager::Requests};

/// The version for deletions of types that do not say theirs.
const VERSION: &str = "2024-07-01";

/// The longest wait for one deletion.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// The pause between two looks at a deletion.
const PAUSE: Duration = Duration::from_millis(100);

/// The keys of the resources that a template has. One whose condition is false is not among them.
pub(crate) fn kept(plan: &Plan) -> BTreeSet<String> {
    let made = plan.resources().iter().filter(|one| one.condition);
    made.map(|one| url(&one.id).to_lowercase()).collect()
}

/// The resources of the group that are in none of the template's resources: those with a location, as `az resource
/// list` shows them. Those that belong to a run or to a template of another group stay, and so do children of what
/// stays, role assignments and deployments.
///
/// # Errors
/// `AuthorizationFailed` if the client may not read one: what is not seen is not left out in silence.
pub(crate) async fn surplus(
    requests: &Requests,
    group: &ResourceKey,
    kept: &BTreeSet<String>,
) -> Result<Vec<Resource>, ApiError> {
    let path = arm::Path::parse(group.as_str());
    let select = Select {
        subscription: requests.app().subscription().to_lowercase(),
        group: path.scope.group().map(str::to_lowercase),
        ..Select::default()
    };
    let mut all = requests.app().store().list_all(select).await?;
    all.retain(|row| {
        let key = row.key();
        let has_kept_child = kept.iter().any(|id| id.starts_with(&format!("{key}/")));
        row.body["location"].as_str().is_some_and(|place| !region::normalise(place).is_empty())
            && arm::rows::parent_key(&key).is_none()
            && read_only::check_writable(row).is_ok()
            && !kept.contains(key.as_str())
            && !has_kept_child
    });
    let rights = requests.app().rights(&requests.caller()).await?;
    for row in &all {
        let need = Need::new(read_of(&row.kind), Scope::parse(row.key().as_str()));
        rights.check(&need).map_err(|denial| denied(&requests.caller(), &denial))?;
    }
    // Users first: templates refer to identities, galleries and networks.
    all.sort_by_key(|row| (rank(&row.kind), row.id.clone()));
    Ok(all)
}

fn rank(kind: &str) -> u8 {
    match kind {
        "microsoft.virtualmachineimages/imagetemplates" => 0,
        "microsoft.compute/images" => 1,
        _ => 2,
    }
}

/// Deletes a resource with its children, and waits until it is gone.
pub(crate) async fn delete(requests: &Requests, resource: &Resource) -> Result<(), ApiError> {
    let children = requests
        .app()
        .store()
        .list_all(Select {
            subscription: resource.subscription.clone(),
            below: Some(resource.key()),
            ..Select::default()
        })
        .await?;
    // The deepest first: a gallery with images cannot be deleted.
    for child in children.iter().rev() {
        if is_deletable(&child.kind) {
            gone(requests, child).await?;
        }
    }
    gone(requests, resource).await
}

fn is_deletable(kind: &str) -> bool {
    let (namespace, types) = kind.split_once('/').unwrap_or((kind, ""));
    REGISTRY.find(namespace, types).is_some_and(|kind| kind.read_only().is_none())
}

async fn gone(requests: &Requests, resource: &Resource) -> Result<(), ApiError> {
    let version = version(&resource.kind);
    match requests.delete(&resource.id, version).await {
        Ok(_) => {}
        Err(error) if error.status == StatusCode::NOT_FOUND => return Ok(()),
        Err(error) => return Err(error),
    }
    let waited = tokio::time::timeout(LIMIT, async {
        while let Some(body) = requests.find(&resource.id, version).await? {
            if body["properties"]["provisioningState"] == "Failed" {
                return Err(ApiError::conflict(
                    "ResourceDeletionFailed",
                    format!("The deletion of '{}' failed.", resource.id),
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    });
    waited.await.unwrap_or_else(|_elapsed| {
        Err(ApiError::conflict(
            "ResourceDeletionTimedOut",
            format!("'{}' was not deleted within {} s.", resource.id, LIMIT.as_secs()),
        ))
    })
}

/// The newest version of a type.
pub(crate) fn version(kind: &str) -> &'static str {
    let (namespace, types) = kind.split_once('/').unwrap_or((kind, ""));
    let newest = REGISTRY.find(namespace, types).and_then(|kind| kind.api_versions().first());
    newest.copied().unwrap_or(VERSION)
}
