//! The regions that store a version of a gallery image.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// The regions that store a version, in the new form or the old form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// `targetRegions`: each region has its own settings.
    Target(Vec<TargetRegion>),
    /// `replicationRegions`: all regions share one setting.
    Replication {
        /// The names of the regions.
        regions: Vec<String>,
        /// The type of storage in all regions.
        storage_account_type: StorageAccountType,
    },
    /// Only the gallery's region.
    Default,
}

impl Serialize for Regions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Target(regions) => map.serialize_entry("targetRegions", regions)?,
            Self::Replication { regions, storage_account_type } => {
                map.serialize_entry("replicationRegions", regions)?;
                map.serialize_entry("storageAccountType", storage_account_type)?;
            }
            Self::Default => {}
        }
        map.end()
    }
}

/// A region that stores copies of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetRegion {
    /// The name of the region.
    pub name: String,
    /// The number of copies.
    pub replica_count: u32,
    /// The type of storage.
    pub storage_account_type: StorageAccountType,
}

/// The types of storage for gallery versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum StorageAccountType {
    /// Locally redundant storage, the default.
    #[default]
    #[serde(rename = "Standard_LRS")]
    StandardLrs,
    /// Zone-redundant storage.
    #[serde(rename = "Standard_ZRS")]
    StandardZrs,
    /// Locally redundant storage on fast disks.
    #[serde(rename = "Premium_LRS")]
    PremiumLrs,
}
