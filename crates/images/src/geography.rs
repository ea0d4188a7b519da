//! Which regions the local store stands for, and where galleries are.

use std::collections::BTreeMap;

use api::template::{Regions, SharedImage};

/// What is known of regions beside `goldsmith.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Geography {
    /// The regions that the local store stands for, unless they have a place. None given: a build takes its template's.
    pub homes: Vec<String>,
    /// Further regions that a managed image may be said to be in: it is in the local store anyway.
    pub regions: Vec<String>,
    /// The regions of galleries by the id of the image definition, in lower case. In the first home where it is not said.
    pub galleries: BTreeMap<String, String>,
}

impl Geography {
    /// The same, at home in the template's region where nothing was said.
    #[must_use]
    pub fn or_at(mut self, location: Option<&str>) -> Self {
        if self.homes.is_empty() {
            self.homes.extend(location.map(str::to_owned));
        }
        self
    }

    /// The region of the gallery that a version is made in.
    pub fn of_gallery(&self, image: &SharedImage) -> Option<&str> {
        let definition = image.definition().to_string().to_lowercase();
        self.galleries.get(&definition).or_else(|| self.homes.first()).map(String::as_str)
    }

    /// The regions that a version goes to: those that are named, else the gallery's own.
    pub fn targets(&self, image: &SharedImage) -> Vec<String> {
        match &image.regions {
            Regions::Target(targets) => targets.iter().map(|target| target.name.clone()).collect(),
            Regions::Replication { regions, .. } => regions.clone(),
            Regions::Default => self.of_gallery(image).map(str::to_owned).into_iter().collect(),
        }
    }
}
