//! Versions of a gallery's image as sources: those that the service knows, and those that only the image
//! store has, which commands on this machine made.

use api::ErrorCode;
use db::{Resource, ResourceKey};
use images::{
    error::Error,
    store::{Store, StoredImage, Version, address::Address},
};
use service::App;

use super::{
    exact::{bad, blocking, missing},
    failure::Fault,
    record::RunInput,
    replicated::Here,
    stored,
};
use crate::versions_of;

/// A version that can be started from.
#[derive(Debug)]
pub(super) enum Found {
    /// The service knows it.
    Row(Box<Resource>),
    /// Only the image store has it.
    Stored(Box<StoredImage>),
}

impl Found {
    pub(super) fn id(&self) -> String {
        match self {
            Self::Row(version) => version.id.clone(),
            Self::Stored(image) => image.record.id.clone(),
        }
    }

    /// Whether the search for `latest` skips it.
    fn is_excluded(&self) -> bool {
        match self {
            Self::Row(version) => {
                let profile = &version.body["properties"]["publishingProfile"];
                profile["excludeFromLatest"].as_bool() == Some(true)
            }
            Self::Stored(image) => image.record.labels.exclude_from_latest,
        }
    }

    async fn refusal(&self, here: &Here) -> Result<Option<Error>, Error> {
        match self {
            Self::Row(version) => here.refusal(version).await,
            Self::Stored(image) => here.absence(&image.record.id).await,
        }
    }
}

/// The version that an id stands for in a region: the highest one if the id ends in `latest`.
///
/// # Errors
/// `BadSharedImageVersionSource`, or the reason why the region cannot be asked.
pub(super) async fn find(
    app: &App,
    id: &str,
    location: &str,
) -> Result<Result<Found, Error>, db::Error> {
    let found = async {
        let here = Here::of(app, location)?;
        match is_latest(id) {
            true => Ok(highest(id, all(app, id).await?, &here).await?),
            false => exact(app, id, &here).await,
        }
    };
    Fault::split(found.await)
}

fn is_latest(id: &str) -> bool {
    id.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case("latest"))
}

async fn exact(app: &App, id: &str, here: &Here) -> Result<Found, Fault<Error>> {
    let found = match app.store().resource(&ResourceKey::of(id)).await? {
        Some(version) => Found::Row(Box::new(version)),
        None => {
            let stored = in_store(app, id, Store::at).await?;
            Found::Stored(Box::new(stored.ok_or_else(|| none(id))?))
        }
    };
    found.refusal(here).await?.map_or(Ok(found), |error| Err(error.into()))
}

/// Every version of the definition, the highest first. A row goes before the image store's record of the
/// same version.
async fn all(app: &App, id: &str) -> Result<Vec<(Version, Found)>, Fault<Error>> {
    let definition = id.rsplitn(3, '/').nth(2).unwrap_or_default();
    let numbered = |row: Resource| Some((row.name.parse().ok()?, Found::Row(Box::new(row))));
    let stored = |image: StoredImage| Some((image.record.version?, Found::Stored(Box::new(image))));
    let rows = versions_of(app, definition).await?.into_iter().filter_map(numbered);
    let images = in_store(app, id, Store::versions).await?.into_iter().filter_map(stored);
    let mut all: Vec<(Version, Found)> = rows.chain(images).collect();
    // Stable, so that rows stay before the image store's records of them.
    all.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    all.dedup_by_key(|(number, _)| *number);
    Ok(all)
}

/// The first that counts and is in the region. The search fails if the region cannot be asked.
async fn highest(id: &str, all: Vec<(Version, Found)>, here: &Here) -> Result<Found, Error> {
    let (mut why, mut excluded) = (None, Vec::new());
    for (number, found) in all {
        if found.is_excluded() {
            excluded.push(number.to_string());
            continue;
        }
        match found.refusal(here).await? {
            None => return Ok(found),
            Some(refusal) => why = why.or(Some(refusal)),
        }
    }
    Err(why.unwrap_or_else(|| match excluded.is_empty() {
        true => none(id),
        false => all_excluded(id, &excluded.join(", ")),
    }))
}

fn none(id: &str) -> Error {
    missing(ErrorCode::BadSharedImageVersionSource, "imageVersionId", id)
}

fn all_excluded(id: &str, versions: &str) -> Error {
    let why = format!("All of its versions are excluded from latest: {versions}");
    Error::new(ErrorCode::BadSharedImageVersionSource, bad("imageVersionId", id, &why))
        .target("properties.source.imageVersionId")
        .hint("name a version, or set excludeFromLatest of one to false")
}

/// Asks the image store, which never has an id that it cannot hold.
async fn in_store<T: Default + Send + 'static>(
    app: &App,
    id: &str,
    ask: impl FnOnce(&Store, &Address) -> Result<T, Error> + Send + 'static,
) -> Result<T, Fault<Error>> {
    let Ok(address) = Address::parse(id) else { return Ok(T::default()) };
    if !stored::is_seen(app, id).await? {
        return Ok(T::default());
    }
    let images = Store::open(&app.settings().layout);
    Ok(blocking(move || ask(&images, &address)).await?)
}

/// A run's input, with `latest` of a gallery as the version that it stands for now: a client may have
/// changed which versions count since the run was requested.
///
/// # Errors
/// The gallery has no such version, or the database fails.
pub async fn with_latest(app: &App, mut input: RunInput) -> Result<RunInput, Fault<Error>> {
    let location = input.template.location.as_deref().unwrap_or_default();
    if let Some(image_version_id) = input.template.properties.source.version_mut()
        && is_latest(image_version_id.name())
    {
        let id = find(app, &image_version_id.to_string(), location).await??.id();
        *image_version_id = id.parse().map_err(|why| {
            let text = bad("imageVersionId", &id, &format!("{why}"));
            Error::new(ErrorCode::BadSharedImageVersionSource, text)
        })?;
    }
    Ok(input)
}
