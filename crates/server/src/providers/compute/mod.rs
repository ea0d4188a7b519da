//! Microsoft.Compute: images, galleries, platform images and sizes.

pub(crate) mod definition;
pub(crate) mod gallery;
pub(crate) mod image;
pub(crate) mod platform_image;
pub(crate) mod sku;
pub(crate) mod version;

use api::ErrorCode;
use engine::store::Store;

use crate::{
    App,
    arm::ApiError,
    store::{ResourceKey, Select},
};

/// The type, and versions of its api that clients have been seen to use, newest first.
const GALLERY_VERSIONS: &[&str] =
    &["2026-03-03", "2024-03-03", "2021-10-01", "2020-09-30", "2019-12-01", "2019-03-01"];

/// Removes what a build or an import stored under that id; there may be nothing.
pub(crate) async fn remove_stored(app: &App, id: &str) -> Result<(), ApiError> {
    let (layout, id) = (app.settings().layout.clone(), id.to_owned());
    let removed = tokio::task::spawn_blocking(move || Store::open(&layout).remove(&id)).await;
    match removed.map_err(ApiError::internal)? {
        Ok(_) => Ok(()),
        // An id that the image store cannot hold is not in it either.
        Err(error) if matches!(error.code, ErrorCode::NotFound | ErrorCode::InvalidArgument) => {
            Ok(())
        }
        Err(error) => Err(ApiError::internal(format!("{error}; {:?}", error.details))),
    }
}

/// Whether something is still in a gallery or a definition: then it may not be removed.
async fn check_empty(app: &App, key: &ResourceKey) -> Result<(), ApiError> {
    let select = Select {
        subscription: app.settings().subscription.to_lowercase(),
        below: Some(key.clone()),
        limit: 100,
        ..Select::default()
    };
    let page = app.store().list(&select).await?;
    let images = page.resources.iter().filter(|child| child.kind.starts_with("microsoft.compute/"));
    let nested: Vec<&str> = images.map(|child| child.id.as_str()).take(5).collect();
    if nested.is_empty() {
        return Ok(());
    }
    Err(ApiError::conflict(
        "CannotDeleteResource",
        format!(
            "Cannot delete resource while nested resources exist. Some existing nested resource IDs include: '{}'. Please delete all nested resources before deleting this resource.",
            nested.join(", ")
        ),
    ))
}
