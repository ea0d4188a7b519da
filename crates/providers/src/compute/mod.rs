//! Microsoft.Compute: images, galleries, platform images and sizes.

pub mod artifacts;
pub(crate) mod definition;
pub(crate) mod gallery;
pub(crate) mod image;
pub mod platform_image;
pub mod replication;
pub mod sku;
pub mod targets;
pub(crate) mod version;

use api::ErrorCode;
use arm::{ApiError, rows};
use db::{Resource, ResourceKey, Select};

use images::{
    config::Config,
    error::Error,
    layout::Layout,
    store::{Store, address::Address},
};
use service::{App, app::replications::Guard};

use crate::refusal;

/// `kind` of the rows of gallery versions.
const VERSIONS_KIND: &str = "microsoft.compute/galleries/images/versions";
/// The type, and versions of its api that clients have been seen to use, newest first.
const GALLERY_VERSIONS: &[&str] =
    &["2026-03-03", "2024-03-03", "2021-10-01", "2020-09-30", "2019-12-01", "2019-03-01"];

/// Removes the disks that builds or imports stored under those ids, if any, and their copies in regions. It first stops
/// their replication. The returned locks keep another from beginning: drop them once the rows are gone.
pub(crate) async fn remove_stored(app: &App, ids: &[&str]) -> Result<Vec<Guard>, ApiError> {
    let mut guards = Vec::new();
    for id in ids {
        guards.push(app.replications().take_over(&ResourceKey::of(id), app.shutdown()).await);
    }
    let layout = app.settings().layout.clone();
    let removed = match app.confirm_ownership().await {
        Ok(()) => forget_copies(&layout, ids).await,
        Err(error) => Err(error),
    };
    removed.map_err(|error| ApiError::conflict(error.code.name(), message_of(&error)))?;
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let removed =
        tokio::task::spawn_blocking(move || ids.iter().try_for_each(|id| remove_here(&layout, id)));
    match removed.await.map_err(ApiError::internal)? {
        Ok(()) => Ok(guards),
        Err(error) => Err(refusal::of_engine(&error)),
    }
}

async fn forget_copies(layout: &Layout, ids: &[&str]) -> Result<(), Error> {
    regions::forget_all(layout, &Config::load(layout)?, ids).await.map(|_| ())
}

fn message_of(error: &Error) -> String {
    let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!(". To fix it: {hint}"));
    format!("{}{hint}.", error.message)
}

fn remove_here(layout: &Layout, id: &str) -> Result<(), Error> {
    let store = Store::open(layout);
    // An id that the image store cannot hold is not in it either.
    let Ok(address) = Address::parse(id) else { return Ok(()) };
    // Checked first: the error for a missing image lists the existing ones, which reads them all.
    if store.at(&address)?.is_some() {
        match store.remove(id) {
            Err(error) if error.code != ErrorCode::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    match address {
        Address::Version(definition, version) => {
            store.release(&Address::Definition(definition), version)
        }
        Address::Managed(_) | Address::Definition(_) | Address::Latest(_) => Ok(()),
    }
}

/// Reserves the number of a version that a client makes, so that a run cannot reuse it.
async fn reserve(app: &App, key: &ResourceKey) -> Result<(), ApiError> {
    let (layout, id) = (app.settings().layout.clone(), key.to_string());
    let reserved = tokio::task::spawn_blocking(move || match Address::parse(&id) {
        Ok(Address::Version(definition, version)) => {
            Store::open(&layout).reserve(&Address::Definition(definition), &[version])
        }
        Ok(_) | Err(_) => Ok(()),
    });
    reserved.await.map_err(ApiError::internal)?.map_err(ApiError::internal)
}

/// Whether a gallery or a definition has children, which bar its removal.
async fn check_empty(app: &App, key: &ResourceKey) -> Result<(), ApiError> {
    let select = Select {
        subscription: app.subscription().to_lowercase(),
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

/// The versions of an image definition that the service knows.
pub(crate) async fn versions_of(app: &App, definition: &str) -> Result<Vec<Resource>, db::Error> {
    rows::below(app.context(), VERSIONS_KIND, Some(ResourceKey::of(definition))).await
}
