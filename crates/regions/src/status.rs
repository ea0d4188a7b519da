//! The replication status of a version: from the content of the places, and for missing copies from
//! the notes of the copying process.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use api::ErrorCode;
use futures_util::{FutureExt, future};
use images::{
    absent,
    config::{Config, region_key},
    error::{Coded, Error, Result},
    image_file::artifact::write_json,
    layout::Layout,
    store::{Store, StoredImage, address::Address},
};
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};
use vm::may_wait;

use super::{manifest::key_of, place::reason, region::Region};

/// A place that does not answer within this time is reported as such.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// The status of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(tag = "state", rename_all_fields = "camelCase")]
pub enum State {
    /// No copy was attempted.
    Unknown { details: String },
    /// A copy is in progress; percent.
    Replicating { progress: u8 },
    /// The copy is complete.
    Completed,
    /// The copy is missing, and no copy is in progress.
    Failed { details: String },
}

impl State {
    /// Azure's name for the state.
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// The progress in percent.
    pub const fn progress(&self) -> u8 {
        match self {
            Self::Unknown { .. } | Self::Failed { .. } => 0,
            Self::Replicating { progress } => *progress,
            Self::Completed => 100,
        }
    }

    /// Why the copy is missing.
    pub fn details(&self) -> &str {
        match self {
            Self::Unknown { details } | Self::Failed { details } => details,
            Self::Replicating { .. } | Self::Completed => "",
        }
    }
}

/// The state for all regions together.
pub fn aggregated(states: &[State]) -> &'static str {
    let any = |wanted: &str| states.iter().any(|state| state.name() == wanted);
    if any("Failed") {
        "Failed"
    } else if any("Replicating") {
        "InProgress"
    } else if any("Unknown") {
        "Unknown"
    } else {
        "Completed"
    }
}

/// The status of a version in each of the regions. A region without a place is the local store.
pub async fn of(layout: &Layout, config: &Config, id: &str, regions: &[String]) -> Vec<State> {
    let image = match Address::parse(id) {
        Ok(address) => address,
        Err(why) => {
            let unknown = State::Unknown { details: why };
            return regions.iter().map(|_| unknown.clone()).collect();
        }
    };
    future::join_all(regions.iter().map(|name| one(layout, config, &image, name).boxed())).await
}

async fn one(layout: &Layout, config: &Config, image: &Address, name: &str) -> State {
    let Some(place) = config.region(name) else {
        return at_home(layout, image);
    };
    let region = match Region::open(layout, place) {
        Ok(region) => region,
        Err(error) => return State::Failed { details: error.message },
    };
    match tokio::time::timeout(PATIENCE, is_there(&region, image)).await {
        Ok(Ok(true)) => State::Completed,
        Ok(Ok(false)) => may_wait(|| noted(layout, &region, image)),
        Ok(Err(error)) => State::Failed { details: error.message },
        Err(_) => State::Failed { details: format!("region {name} does not answer") },
    }
}

fn at_home(layout: &Layout, image: &Address) -> State {
    match Store::open(layout).at(image) {
        Ok(Some(_)) => State::Completed,
        Ok(None) => State::Unknown { details: "no disk is stored for it here".to_owned() },
        Err(error) => State::Failed { details: error.message },
    }
}

pub(super) async fn is_there(region: &Region, image: &Address) -> Result<bool> {
    let key = key_of(image)?;
    match region.store.head(&key).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(region.fault(&reason(&error))),
    }
}

/// The state from the copying process's notes. A killed process could not record its failure.
fn noted(layout: &Layout, region: &Region, image: &Address) -> State {
    let mut notes = match Notes::read(&path(layout, image)) {
        Ok(notes) => notes,
        Err(error) => return State::Failed { details: error.to_string() },
    };
    match notes.regions.remove(&region.name) {
        Some(State::Replicating { progress }) => match region.own() {
            Ok(None) => State::Replicating { progress },
            Ok(Some(_)) | Err(_) => State::Failed { details: "the copying was cut off".to_owned() },
        },
        Some(failed @ State::Failed { .. }) => failed,
        Some(State::Completed) => State::Failed { details: "the copy was removed".to_owned() },
        Some(unknown @ State::Unknown { .. }) => unknown,
        None => State::Unknown { details: "it was not copied there".to_owned() },
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Notes {
    regions: BTreeMap<String, State>,
}

impl Notes {
    fn read(path: &Path) -> io::Result<Self> {
        let unreadable =
            |why: &dyn std::fmt::Display| io::Error::other(format!("{}: {why}", path.display()));
        let read = absent::or_none(fs::read(path)).map_err(|e| unreadable(&e))?;
        let Some(bytes) = read else { return Ok(Self::default()) };
        serde_json::from_slice(&bytes).map_err(|e| unreadable(&e))
    }
}

fn path(layout: &Layout, image: &Address) -> PathBuf {
    let mut path = layout.regions().join("status");
    path.extend(image.parts());
    path.add_extension("json");
    path
}

/// Records the progress of one version's copies.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    notes: Notes,
}

impl Writer {
    pub(super) fn begin(layout: &Layout, image: &StoredImage) -> Result<Self> {
        let address = Address::parse(&image.record.id)
            .map_err(|why| Error::new(ErrorCode::InternalError, why))?;
        Self::of(layout, &address)
    }

    fn of(layout: &Layout, image: &Address) -> Result<Self> {
        let path = path(layout, image);
        let notes = Notes::read(&path).code(ErrorCode::DistributeFailed, || {
            format!("cannot read what is noted of the copies of {}", image.id())
        })?;
        Ok(Self { notes, path })
    }

    pub(super) fn set(&mut self, region: &str, state: State) -> Result<()> {
        self.notes.regions.insert(region_key(region), state);
        self.write()
    }

    fn write(&self) -> Result<()> {
        let parent = self.path.parent().unwrap_or(&self.path);
        may_wait(|| fs::create_dir_all(parent).and_then(|()| write_json(&self.path, &self.notes)))
            .code(ErrorCode::DistributeFailed, || format!("cannot write {}", self.path.display()))
    }
}

/// Whether the region may have a copy as far as this installation knows: a copy was completed or
/// begun, or the notes cannot be read.
pub(super) fn may_be_in(layout: &Layout, image: &Address, region: &str) -> bool {
    let Ok(notes) = Notes::read(&path(layout, image)) else { return true };
    match notes.regions.get(region) {
        Some(State::Completed | State::Replicating { .. }) => true,
        Some(State::Failed { .. } | State::Unknown { .. }) | None => false,
    }
}

/// Records that the copy in one region was removed on purpose.
pub(super) fn left(layout: &Layout, image: &Address, region: &str) -> Result<()> {
    let mut writer = Writer::of(layout, image)?;
    match writer.notes.regions.remove(region) {
        Some(_) => writer.write(),
        None => Ok(()),
    }
}

/// Removes the notes of a removed version.
pub(super) fn forget(layout: &Layout, image: &Address) {
    if let Err(e) = absent::remove_file(&path(layout, image)) {
        tracing::warn!(error = %e, "a note about a version's copies stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregated_state_covers_all_regions() {
        let failed = State::Failed { details: "x".into() };
        let unknown = State::Unknown { details: "x".into() };
        let on_the_way = State::Replicating { progress: 7 };
        let cases: [(&[State], &str); 5] = [
            (&[], "Completed"),
            (&[State::Completed, State::Completed], "Completed"),
            (&[State::Completed, unknown.clone()], "Unknown"),
            (&[unknown.clone(), on_the_way.clone()], "InProgress"),
            (&[State::Completed, on_the_way.clone(), failed, unknown], "Failed"),
        ];
        for (states, word) in cases {
            assert_eq!(aggregated(states), word);
        }
        assert_eq!((on_the_way.progress(), State::Completed.progress()), (7, 100));
    }
}
