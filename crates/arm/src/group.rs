//! Resource groups, as far as their resources depend on them.

use db::{Resource, ResourceKey};

use crate::{ApiError, Context};

/// The `kind` of a resource group's row.
pub const KIND: &str = "microsoft.resources/resourcegroups";

/// The group of that name.
///
/// # Errors
/// `ResourceGroupNotFound`
pub async fn existing(context: &Context, name: &str) -> Result<Resource, ApiError> {
    let key = ResourceKey::of(&id(context, name));
    context.store().resource(&key).await?.ok_or_else(|| ApiError::group_not_found(name))
}

/// Rejects writes to a group that is being deleted.
///
/// # Errors
/// `ResourceGroupBeingDeleted`
pub fn check_stays(group: &Resource) -> Result<(), ApiError> {
    if group.body["properties"]["provisioningState"] != "Deleting" {
        return Ok(());
    }
    Err(ApiError::conflict(
        "ResourceGroupBeingDeleted",
        format!(
            "The resource group '{}' is in deprovisioning state and cannot perform this operation.",
            group.name
        ),
    ))
}

/// The id of the group of that name.
pub fn id(context: &Context, name: &str) -> String {
    format!("/subscriptions/{}/resourceGroups/{name}", context.subscription())
}
