//! Which regions there are, for those who name them.

use api::{
    ErrorCode,
    template::{Regions, SharedImage},
};

use crate::{
    config::{Config, region_key},
    error::Error,
};

/// The regions that a version can be kept in: the one that the local store stands for, and those with a place.
#[derive(Debug, Clone)]
pub struct Known {
    /// `None`: every region without a place.
    home: Option<String>,
    places: Vec<String>,
}

impl Known {
    /// The regions of an installation. `home` is the one that the local store stands for; without it the
    /// local store stands for every region that has no place.
    pub fn new(config: &Config, home: Option<&str>) -> Self {
        let places = config.regions.iter().map(|region| region.name.clone()).collect();
        Self { home: home.map(region_key), places }
    }

    /// Whether the local store stands for it.
    pub fn is_home(&self, name: &str) -> bool {
        let key = region_key(name);
        match &self.home {
            Some(home) => *home == key,
            None => !self.places.contains(&key),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.is_home(name) || self.places.contains(&region_key(name))
    }

    fn list(&self) -> String {
        let home = self.home.iter().filter(|home| !self.places.contains(home));
        home.chain(&self.places).cloned().collect::<Vec<_>>().join(", ")
    }

    /// What is wrong with the regions that a distributor names, by field. `own` is the region of the gallery.
    pub fn faults(&self, image: &SharedImage, own: Option<&str>) -> Vec<Error> {
        let mut faults: Vec<Error> = names(&image.regions)
            .filter(|(_, name)| !self.has(name))
            .map(|(field, name)| self.unknown(name).target(field))
            .collect();
        if let (Regions::Replication { regions, .. }, Some(own)) = (&image.regions, own)
            && !regions.iter().any(|name| region_key(name) == region_key(own))
        {
            let text = format!(
                "'replicationRegions' must include the region of the gallery, which is '{own}'"
            );
            faults.push(
                Error::new(ErrorCode::BadSharedImageDistribute, text)
                    .target("replicationRegions")
                    .hint(format!("add \"{own}\" to replicationRegions")),
            );
        }
        faults
    }

    fn unknown(&self, name: &str) -> Error {
        let text =
            format!("no image can be kept in the region '{name}': the regions are {}", self.list());
        Error::new(ErrorCode::BadSharedImageDistribute, text).hint(format!(
            "name one of those, or give '{name}' a place: a [[region]] in goldsmith.toml"
        ))
    }
}

/// The regions that are named, each with its field.
fn names(regions: &Regions) -> Box<dyn Iterator<Item = (String, &str)> + '_> {
    match regions {
        Regions::Target(targets) => Box::new(
            targets
                .iter()
                .enumerate()
                .map(|(n, t)| (format!("targetRegions[{n}].name"), t.name.as_str())),
        ),
        Regions::Replication { regions, .. } => Box::new(
            regions
                .iter()
                .enumerate()
                .map(|(n, name)| (format!("replicationRegions[{n}]"), name.as_str())),
        ),
        Regions::Default => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use api::template::{ReplicationMode, StorageAccountType, TargetRegion, Versioning};

    use super::*;
    use crate::config::{Place, Region};

    fn image(regions: Regions) -> SharedImage {
        SharedImage {
            gallery_image_id:
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/d"
                    .parse()
                    .unwrap(),
            regions,
            exclude_from_latest: false,
            versioning: Versioning::default(),
            replication_mode: ReplicationMode::Full,
        }
    }

    fn targets(names: &[&str]) -> SharedImage {
        let target = |name: &&str| TargetRegion {
            name: (*name).to_owned(),
            replica_count: 1,
            storage_account_type: StorageAccountType::default(),
        };
        image(Regions::Target(names.iter().map(target).collect()))
    }

    fn replication(names: &[&str]) -> SharedImage {
        image(Regions::Replication {
            regions: names.iter().map(|name| (*name).to_owned()).collect(),
            storage_account_type: StorageAccountType::default(),
        })
    }

    fn config() -> Config {
        let region = Region { name: "eastus".into(), place: Place::Folder("/srv/eastus".into()) };
        Config { regions: vec![region], ..Config::default() }
    }

    #[test]
    fn a_region_that_nothing_is_kept_in_is_named_with_those_that_there_are() {
        let known = Known::new(&config(), Some("West US 2"));
        assert!(known.faults(&targets(&["westus2", "East US"]), None).is_empty());
        let faults = known.faults(&targets(&["eastus", "Mars"]), None);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].target.as_deref(), Some("targetRegions[1].name"));
        assert_eq!(faults[0].code, ErrorCode::BadSharedImageDistribute);
        assert!(faults[0].message.ends_with("the regions are westus2, eastus"), "{}", faults[0]);
        assert!(known.faults(&image(Regions::Default), Some("westus2")).is_empty());
    }

    #[test]
    fn the_gallerys_own_region_belongs_to_the_old_form() {
        let known = Known::new(&config(), Some("westus2"));
        assert!(known.faults(&replication(&["eastus", "West US 2"]), Some("westus2")).is_empty());
        let faults = known.faults(&replication(&["eastus"]), Some("westus2"));
        assert_eq!(faults[0].target.as_deref(), Some("replicationRegions"));
        assert!(known.faults(&targets(&["eastus"]), Some("westus2")).is_empty());
    }

    #[test]
    fn where_nobody_says_which_region_is_home_those_without_a_place_are() {
        let known = Known::new(&config(), None);
        assert!(known.is_home("anywhere") && !known.is_home("eastus"));
        assert!(known.faults(&targets(&["anywhere", "eastus"]), None).is_empty());
    }
}
