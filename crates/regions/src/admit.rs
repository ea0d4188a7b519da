//! The valid regions of an installation, to check the names in templates and requests.

use api::{ErrorCode, template::Regions};
use images::{
    config::{Config, region_key},
    error::Error,
    region_set::RegionSet,
};

/// The regions that can store a version: those with a place, and those that the local store stands
/// for.
#[derive(Debug, Clone)]
pub struct StorageRegions {
    /// Empty: every region without a place.
    homes: Vec<String>,
    places: Vec<String>,
    /// Further regions that managed images may name.
    others: Vec<String>,
}

impl StorageRegions {
    /// The regions of an installation.
    pub fn new(config: &Config, region_set: &RegionSet) -> Self {
        let places: Vec<_> = config.regions.iter().map(|region| region.name.clone()).collect();
        let keys = |names: &[String]| names.iter().map(|name| region_key(name)).collect();
        Self { homes: keys(&region_set.homes), places, others: keys(&region_set.regions) }
    }

    /// Whether the local store stands for it and it has no place of its own.
    pub fn is_home(&self, name: &str) -> bool {
        !self.places.contains(&region_key(name))
    }

    fn has(&self, name: &str) -> bool {
        !self.is_home(name) || self.homes.is_empty() || self.homes.contains(&region_key(name))
    }

    /// The error of storing a version in the region; `None` if it can be stored.
    pub fn fault(&self, name: &str) -> Option<Error> {
        (!self.has(name)).then(|| self.unknown(name))
    }

    fn list(&self) -> String {
        let homes = self.homes.iter().filter(|home| !self.places.contains(home));
        homes.chain(&self.places).cloned().collect::<Vec<_>>().join(", ")
    }

    /// The errors of the regions that a distributor names, by field. `own` is the gallery's region.
    pub fn faults(&self, regions: &Regions, own: Option<&str>) -> Vec<Error> {
        let mut faults: Vec<Error> = names(regions)
            .filter_map(|(field, name)| Some(self.fault(name)?.target(field)))
            .collect();
        if let (Regions::Replication { regions, .. }, Some(own)) = (regions, own)
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

    /// The error of a managed image's region.
    pub fn fault_of_managed(&self, location: &str) -> Option<Error> {
        if self.has(location) || self.others.contains(&region_key(location)) {
            return None;
        }
        let others = self.others.iter().filter(|name| !self.has(name)).cloned();
        let known = std::iter::once(self.list()).chain(others).collect::<Vec<_>>().join(", ");
        let text = format!("the region '{location}' does not exist here; the regions are {known}");
        let error = Error::new(ErrorCode::ValidationFailed, text).target("location");
        Some(error.hint("name one of those"))
    }

    fn unknown(&self, name: &str) -> Error {
        let text =
            format!("no image can be kept in the region '{name}': the regions are {}", self.list());
        Error::new(ErrorCode::BadSharedImageDistribute, text).hint(format!(
            "name one of those, or give '{name}' a place: a [[region]] in goldsmith.toml"
        ))
    }
}

/// The named regions, each with its field.
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
    use api::template::{StorageAccountType, TargetRegion};

    use super::*;
    use images::config::{Region, StorageLocation};

    fn targets(names: &[&str]) -> Regions {
        let target = |name: &&str| TargetRegion {
            name: (*name).to_owned(),
            replica_count: 1,
            storage_account_type: StorageAccountType::default(),
        };
        Regions::Target(names.iter().map(target).collect())
    }

    fn replication(names: &[&str]) -> Regions {
        Regions::Replication {
            regions: names.iter().map(|name| (*name).to_owned()).collect(),
            storage_account_type: StorageAccountType::default(),
        }
    }

    fn at(home: &str) -> RegionSet {
        RegionSet { homes: vec![home.to_owned()], ..RegionSet::default() }
    }

    fn config() -> Config {
        let region =
            Region { name: "eastus".into(), place: StorageLocation::Folder("/srv/eastus".into()) };
        Config { regions: vec![region], ..Config::default() }
    }

    #[test]
    fn unknown_region_error_lists_the_known_ones() {
        let known = StorageRegions::new(&config(), &at("West US 2"));
        assert!(known.faults(&targets(&["westus2", "East US"]), None).is_empty());
        let faults = known.faults(&targets(&["eastus", "Mars"]), None);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].target.as_deref(), Some("targetRegions[1].name"));
        assert_eq!(faults[0].code, ErrorCode::BadSharedImageDistribute);
        assert!(faults[0].message.ends_with("the regions are westus2, eastus"), "{}", faults[0]);
        assert!(known.faults(&Regions::Default, Some("westus2")).is_empty());
    }

    #[test]
    fn managed_image_needs_a_known_region() {
        let region_set =
            RegionSet { regions: vec!["West US 2".into(), "Japan East".into()], ..at("westus2") };
        let known = StorageRegions::new(&config(), &region_set);
        for location in ["West US 2", "eastus", "japaneast"] {
            assert!(known.fault_of_managed(location).is_none(), "{location}");
        }
        let error = known.fault_of_managed("Mars").unwrap();
        assert_eq!(error.target.as_deref(), Some("location"));
        assert!(error.message.ends_with("the regions are westus2, eastus, japaneast"), "{error}");
    }

    #[test]
    fn old_form_must_include_the_gallerys_region() {
        let known = StorageRegions::new(&config(), &at("westus2"));
        assert!(known.faults(&replication(&["eastus", "West US 2"]), Some("westus2")).is_empty());
        let faults = known.faults(&replication(&["eastus"]), Some("westus2"));
        assert_eq!(faults[0].target.as_deref(), Some("replicationRegions"));
        assert!(known.faults(&targets(&["eastus"]), Some("westus2")).is_empty());
    }

    #[test]
    fn regions_without_a_place_are_home_by_default() {
        let known = StorageRegions::new(&config(), &RegionSet::default());
        assert!(known.is_home("anywhere") && !known.is_home("eastus"));
        assert!(known.faults(&targets(&["anywhere", "eastus"]), None).is_empty());
    }
}
