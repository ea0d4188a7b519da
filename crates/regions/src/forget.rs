//! Removes the copies of removed versions.
//!
//! Regions are processed in parallel, and a region that does not answer does not delay the others.
//! Each region's pieces are listed once, however many copies are removed.

use api::ErrorCode;
use futures_util::{FutureExt, future};
use images::{
    config::{self, Config, region_key},
    error::{Error, Result},
    layout::Layout,
    store::address::Address,
};
use object_store::ObjectStoreExt;
use vm::may_wait;

use super::{
    manifest::key_of,
    place::reason,
    region::{Region, Unfinished},
    status::{self, PATIENCE},
    sweep,
};

/// Removes a version's copies from every region, with the pieces that only they needed. Returns the
/// names of the regions that had one. An id that is not a version's has no copies.
///
/// # Errors
/// Names the regions that have a copy, as far as is known, but do not answer. The copies in the
/// others are removed.
pub async fn forget(layout: &Layout, config: &Config, id: &str) -> Result<Vec<String>> {
    forget_all(layout, config, &[id]).await
}

/// The same for several versions.
///
/// # Errors
/// See [`forget`].
pub async fn forget_all(layout: &Layout, config: &Config, ids: &[&str]) -> Result<Vec<String>> {
    let versions = versions(ids);
    let had = forget_where(layout, config, &versions, |_| true).await?;
    for version in &versions {
        may_wait(|| status::forget(layout, version));
    }
    Ok(had)
}

/// The same in the named regions only.
///
/// # Errors
/// See [`forget`].
pub async fn forget_in(
    layout: &Layout,
    config: &Config,
    id: &str,
    regions: &[String],
) -> Result<Vec<String>> {
    let keys: Vec<String> = regions.iter().map(|name| region_key(name)).collect();
    forget_where(layout, config, &versions(&[id]), |name| keys.iter().any(|key| key == name)).await
}

fn versions(ids: &[&str]) -> Vec<Address> {
    let addresses = ids.iter().filter_map(|id| Address::parse(id).ok());
    addresses.filter(|address| matches!(address, Address::Version(..))).collect()
}

async fn forget_where(
    layout: &Layout,
    config: &Config,
    versions: &[Address],
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let places = config.regions.iter().filter(|place| is_meant(&place.name));
    let asked = places.map(|place| forget_one(layout, place, versions).boxed());
    let (mut had, mut errors) = (Vec::new(), Vec::new());
    for (name, outcome) in future::join_all(asked).await {
        match outcome {
            Ok(true) => had.push(name),
            Ok(false) => {}
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors).map_err(|mut error| {
        error.code = ErrorCode::Conflict;
        error.hint(
            "try again when the region can be reached, or take the region out of goldsmith.toml",
        )
    })?;
    Ok(had)
}

/// The region's name, and whether it had a copy.
async fn forget_one(
    layout: &Layout,
    place: &config::Region,
    versions: &[Address],
) -> (String, Result<bool>) {
    (place.name.clone(), forget_there(layout, place, versions).await)
}

async fn forget_there(
    layout: &Layout,
    place: &config::Region,
    versions: &[Address],
) -> Result<bool> {
    let region = match Region::open(layout, place) {
        Ok(region) => region,
        Err(error) => return unreachable(layout, place, versions, error).map(|()| false),
    };
    let (mut note, mut result) = (None, Ok(()));
    let mut answers = true;
    for (index, version) in versions.iter().enumerate() {
        let mut found = false;
        let removing = remove(&region, version, &mut note, &mut found);
        let removed = tokio::time::timeout(PATIENCE, removing).await;
        match removed.unwrap_or_else(|_| Err(region.fault("it does not answer"))) {
            Ok(()) if found => may_wait(|| status::left(layout, version, &place.name))?,
            Ok(()) => {}
            // Do not ask this region for the other versions either.
            Err(error) => {
                answers = false;
                result = match found {
                    true => Err(cannot_remove(version, error)),
                    false => unreachable(layout, place, &versions[index..], error),
                };
                break;
            }
        }
    }
    let had = note.is_some();
    // An interrupted copy has no manifest yet, but its pieces exist. If the notes cannot be read,
    // the sweep reports why.
    let is_due = had || region.unfinished().map_or(true, |notes| !notes.is_empty());
    if answers
        && is_due
        && let Err(error) = sweep::sweep(&region).await
    {
        tracing::warn!(region = %region.name, %error, "pieces stay until the next sweep");
    }
    result.map(|()| had)
}

/// Removes one copy; `found` says whether there is one. Before the first removal, `note` records
/// that a sweep is due, in case this process does not get to it.
async fn remove(
    region: &Region,
    version: &Address,
    note: &mut Option<Unfinished>,
    found: &mut bool,
) -> Result<()> {
    *found = status::is_there(region, version).await?;
    if !*found {
        return Ok(());
    }
    if note.is_none() {
        *note = Some(region.begin()?);
    }
    let gone = region.store.delete(&key_of(version)?).await;
    gone.map_err(|e| region.fault(&reason(&e)))
}

fn cannot_remove(version: &Address, mut error: Error) -> Error {
    error.message = format!("a copy of {} cannot be removed: {}", version.id(), error.message);
    error
}

/// An unreachable region that never had a copy does not prevent the removal elsewhere.
fn unreachable(
    layout: &Layout,
    place: &config::Region,
    versions: &[Address],
    error: Error,
) -> Result<()> {
    may_wait(|| {
        match versions.iter().find(|version| status::may_be_in(layout, version, &place.name)) {
            Some(version) => Err(cannot_remove(version, error)),
            None => {
                tracing::warn!(region = %place.name, %error, "not asked for a copy");
                Ok(())
            }
        }
    })
}
