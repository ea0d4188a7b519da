//! A version is removed: so are its copies.

use api::ErrorCode;
use object_store::ObjectStoreExt;

use super::{copy::key_of, place::reason, region::Region, status, sweep};
use crate::{
    config::{Config, region_key},
    error::{Error, Result},
    layout::Layout,
    store::address::Address,
};

/// Removes the copies of a version from every region, and what only they needed. Gives the names of the regions that
/// had one. An id that is no version's has no copies.
///
/// # Errors
/// The regions that have one, as far as is known, and cannot be asked; the copies in the others are gone.
pub async fn forget(layout: &Layout, config: &Config, id: &str) -> Result<Vec<String>> {
    let Ok(version @ Address::Version(..)) = Address::parse(id) else { return Ok(Vec::new()) };
    let had = forget_where(layout, config, &version, |_| true).await?;
    status::forget(layout, &version);
    Ok(had)
}

/// The same in some regions only, by their names.
///
/// # Errors
/// See [`forget`].
pub async fn forget_in(
    layout: &Layout,
    config: &Config,
    id: &str,
    regions: &[String],
) -> Result<Vec<String>> {
    let Ok(version @ Address::Version(..)) = Address::parse(id) else { return Ok(Vec::new()) };
    let keys: Vec<String> = regions.iter().map(|name| region_key(name)).collect();
    forget_where(layout, config, &version, |name| keys.iter().any(|key| key == name)).await
}

async fn forget_where(
    layout: &Layout,
    config: &Config,
    version: &Address,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let (mut had, mut errors) = (Vec::new(), Vec::new());
    for place in config.regions.iter().filter(|place| is_meant(&place.name)) {
        match forget_one(layout, place, version).await {
            Ok(true) => {
                status::left(layout, version, &place.name)?;
                had.push(place.name.clone());
            }
            Ok(false) => {}
            Err(error) if status::may_be_in(layout, version, &place.name) => errors.push(error),
            // A region that cannot be reached and never had it keeps nobody from removing it elsewhere.
            Err(error) => tracing::warn!(region = %place.name, %error, "not asked for a copy"),
        }
    }
    Error::all(errors).map_err(|mut error| {
        error.code = ErrorCode::Conflict;
        error.message = format!("a copy of {} cannot be removed: {}", version.id(), error.message);
        error.hint(
            "try again when the region can be reached, or take the region out of goldsmith.toml",
        )
    })?;
    Ok(had)
}

async fn forget_one(
    layout: &Layout,
    place: &crate::config::Region,
    version: &Address,
) -> Result<bool> {
    let region = Region::open(layout, place)?;
    let key = key_of(version)?;
    match region.store.head(&key).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(false),
        other => other.map_err(|e| region.fault(&reason(&e)))?,
    };
    // Should the sweep not come about, this says that one is due.
    let note = region.begin()?;
    region.store.delete(&key).await.map_err(|e| region.fault(&reason(&e)))?;
    match sweep::sweep(&region).await {
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(region = %region.name, %error, "pieces stay until the next sweep")
        }
    }
    drop(note);
    Ok(true)
}
