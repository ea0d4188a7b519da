//! The regions that the local store stands for, and the regions of galleries.

use std::collections::BTreeMap;

use api::{ResourceId, template::Regions};

/// Knowledge about regions beyond `goldsmith.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegionSet {
    /// The regions that the local store stands for, unless they have a place. If empty, a build
    /// uses its template's region.
    pub homes: Vec<String>,
    /// Further regions that a managed image may name. The image is in the local store in any case.
    pub regions: Vec<String>,
    /// The region of each gallery by the id of the image definition, in lower case. A missing one
    /// is in the first home region.
    pub galleries: BTreeMap<String, String>,
}

impl RegionSet {
    /// The same, with `location` as the home region if none is set.
    #[must_use]
    pub fn or_at(mut self, location: Option<&str>) -> Self {
        if self.homes.is_empty() {
            self.homes.extend(location.map(str::to_owned));
        }
        self
    }

    /// The region of the gallery in which a version of `definition` is created.
    pub fn of_gallery(&self, definition: &ResourceId) -> Option<&str> {
        let definition = definition.to_string().to_lowercase();
        self.galleries.get(&definition).or_else(|| self.homes.first()).map(String::as_str)
    }

    /// The regions that a version is replicated to: the ones it names, otherwise the gallery's own.
    pub fn targets(&self, definition: &ResourceId, regions: &Regions) -> Vec<String> {
        match regions {
            Regions::Target(targets) => targets.iter().map(|target| target.name.clone()).collect(),
            Regions::Replication { regions, .. } => regions.clone(),
            Regions::Default => {
                self.of_gallery(definition).map(str::to_owned).into_iter().collect()
            }
        }
    }
}
