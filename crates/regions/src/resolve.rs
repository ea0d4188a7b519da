//! Finds a version in a region.

use api::ErrorCode;
use images::{
    config,
    error::{Error, Result},
    layout::Layout,
    store::{Version, address::Address},
};

use super::{
    manifest::{self, Manifest},
    region::Region,
    status::{self, PATIENCE},
};

/// A copy of a version, and its region.
#[derive(Debug, Clone)]
pub struct Replica {
    pub region: Region,
    pub manifest: Manifest,
}

/// The version in the region; `None` if it has no copy there.
///
/// # Errors
/// The region cannot be read.
pub async fn find(
    layout: &Layout,
    place: &config::Region,
    definition: &Address,
    version: Version,
) -> Result<Option<Replica>> {
    let region = Region::open(layout, place)?;
    let key = manifest::key(definition, version);
    let found = manifest::read(region.store.as_ref(), &key).await;
    let found = found.map_err(|error| coded(&region, error))?;
    Ok(found.map(|manifest| Replica { region, manifest }))
}

/// Whether the version has a copy in the region. Does not read the copy. The wait for an answer is
/// limited.
///
/// # Errors
/// The region does not answer, or the id is not a version's.
pub async fn has(layout: &Layout, place: &config::Region, id: &str) -> Result<bool> {
    let version = Address::parse(id).map_err(|why| no_version(id, why))?;
    let asked = async {
        let region = Region::open(layout, place)?;
        let asked = tokio::time::timeout(PATIENCE, status::is_there(&region, &version)).await;
        asked.unwrap_or_else(|_| Err(region.fault("it does not answer")))
    };
    asked.await.map_err(|mut error| {
        error.code = ErrorCode::SourceUnavailable;
        error
    })
}

/// The highest version in the region that is not excluded from latest.
///
/// # Errors
/// The region cannot be read.
pub async fn latest(
    layout: &Layout,
    place: &config::Region,
    definition: &Address,
) -> Result<Option<Replica>> {
    let region = Region::open(layout, place)?;
    let store = region.store.as_ref();
    let keys = manifest::list(store, &manifest::folder(definition)).await;
    let keys = keys.map_err(|error| coded(&region, error))?;
    let mut versions: Vec<Version> = keys.iter().filter_map(manifest::version_of).collect();
    versions.sort_unstable();
    for version in versions.into_iter().rev() {
        let read = manifest::read(store, &manifest::key(definition, version)).await;
        let read = read.map_err(|error| coded(&region, error))?;
        if let Some(manifest) = read.filter(|m| !m.record.labels.exclude_from_latest) {
            return Ok(Some(Replica { region, manifest }));
        }
    }
    Ok(None)
}

/// Resolves an id in the region: a version, or the latest one of a definition.
///
/// # Errors
/// The region cannot be read, or the id is not a version's.
pub async fn of_id(layout: &Layout, place: &config::Region, id: &str) -> Result<Option<Replica>> {
    match Address::parse(id).map_err(|why| no_version(id, why))? {
        Address::Version(definition, version) => {
            find(layout, place, &Address::Definition(definition), version).await
        }
        Address::Latest(definition) | Address::Definition(definition) => {
            latest(layout, place, &Address::Definition(definition)).await
        }
        Address::Managed(_) => {
            Err(no_version(id, "it is a managed image, not a version".to_owned()))
        }
    }
}

fn no_version(id: &str, why: String) -> Error {
    Error::new(ErrorCode::BadSharedImageVersionSource, format!("`{id}`: {why}"))
}

/// A build reads from the region, so a distribution error would mislead.
fn coded(region: &Region, error: Error) -> Error {
    let mut error = region.fault(&error.message);
    error.code = ErrorCode::SourceUnavailable;
    error
}
