//! The distributor `SharedImage`, which creates a version of a gallery image.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::ApiVersion;
use super::diagnostic::Severity;
use super::read::fields::{Field, Fields};
use super::read::{Node, Note, Reader, failed};
use super::source::gallery_version;
use crate::{ErrorCode, ResourceId, ResourceKind};

/// A version of a gallery image to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedImage {
    /// The id of the definition, or of the version to create.
    pub gallery_image_id: ResourceId,
    /// The regions that store the version.
    #[serde(flatten)]
    pub regions: Regions,
    /// Whether `latest` skips the version.
    pub exclude_from_latest: bool,
    /// How to choose the version number if the id has none.
    #[serde(skip_serializing_if = "Versioning::is_default")]
    pub versioning: Versioning,
    /// How to create the copies.
    pub replication_mode: ReplicationMode,
}

impl SharedImage {
    /// The id of the definition.
    pub fn definition(&self) -> ResourceId {
        match self.explicit_version() {
            Some(_) => self.gallery_image_id.parent(),
            None => None,
        }
        .unwrap_or_else(|| self.gallery_image_id.clone())
    }

    /// The version number, if the template specifies it.
    pub fn explicit_version(&self) -> Option<&str> {
        self.gallery_image_id
            .is(ResourceKind::GalleryImageVersion)
            .then(|| self.gallery_image_id.name())
    }
}

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

/// How the version number is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "scheme")]
pub enum Versioning {
    /// The successor of the latest version.
    Latest {
        /// If set, only versions with this major number count.
        #[serde(skip_serializing_if = "Option::is_none")]
        major: Option<u32>,
    },
    /// The source's version number.
    Source,
}

impl Default for Versioning {
    fn default() -> Self {
        Self::Latest { major: None }
    }
}

impl Versioning {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How copies are created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum ReplicationMode {
    /// Every region gets a full copy.
    #[default]
    Full,
    /// Regions get only what is needed to use the image.
    Shallow,
}

pub(super) const SHARED_IMAGE: &[Field] = &[
    Field::new("type"),
    Field::new("runOutputName"),
    Field::new("artifactTags"),
    Field::new("galleryImageId"),
    Field::new("replicationRegions"),
    Field::since("storageAccountType", ApiVersion::V2020_02_14),
    Field::since("excludeFromLatest", ApiVersion::V2020_02_14),
    Field::since("targetRegions", ApiVersion::V2022_07_01),
    Field::since("versioning", ApiVersion::V2022_07_01),
    Field::since("replicationMode", ApiVersion::V2025_10_01),
];

const TARGET_REGION: &[Field] =
    &[Field::new("name"), Field::new("replicaCount"), Field::new("storageAccountType")];

const VERSIONING: &[Field] = &[Field::new("scheme"), Field::new("major")];

const STORAGE: &[(&str, StorageAccountType)] = &[
    ("Standard_LRS", StorageAccountType::StandardLrs),
    ("Standard_ZRS", StorageAccountType::StandardZrs),
    ("Premium_LRS", StorageAccountType::PremiumLrs),
];

const MODES: &[(&str, ReplicationMode)] =
    &[("Full", ReplicationMode::Full), ("Shallow", ReplicationMode::Shallow)];

/// The values of `scheme`, and whether each is `Latest`.
const SCHEMES: &[(&str, bool)] = &[("Latest", true), ("Source", false)];

pub(super) fn read_shared_image(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
) -> Option<SharedImage> {
    let gallery_image_id =
        reader.required(fields, "galleryImageId").and_then(|node| gallery_image(reader, &node));
    let regions = regions(reader, fields);
    let exclude_from_latest = reader.switch(fields, "excludeFromLatest");
    let versioning = fields.get("versioning").and_then(|node| versioning(reader, &node));
    let replication_mode =
        reader.optional_choice(fields, "replicationMode", MODES).unwrap_or_default();
    let gallery_image_id = gallery_image_id?;
    if let Some(node) = fields.get("versioning")
        && gallery_image_id.is(ResourceKind::GalleryImageVersion)
    {
        let message = format!(
            "{}Field 'versioning' has no effect: 'galleryImageId' gives the version {}",
            failed(fields.path()),
            gallery_image_id.name()
        );
        reader.warn(&node, message, None);
    }
    Some(SharedImage {
        gallery_image_id,
        regions,
        exclude_from_latest,
        versioning: versioning.unwrap_or_default(),
        replication_mode,
    })
}

fn gallery_image(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<ResourceId> {
    let kinds = [ResourceKind::GalleryImage, ResourceKind::GalleryImageVersion];
    let id = reader.resource_id(node, &kinds)?;
    if id.is(ResourceKind::GalleryImageVersion) {
        if gallery_version(id.name()).is_none() {
            let hint = Some("omit `/versions/…` to number versions automatically".to_owned());
            reader.bad_value_hint(
                node,
                "The version must be three numbers without leading zeros.",
                hint,
            );
        } else if reader.version < ApiVersion::V2020_02_14 {
            let reason = format!("api-version {} takes a definition only.", reader.version);
            reader.bad_value(node, &reason);
        }
    }
    Some(id)
}

fn regions(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Regions {
    let targets = reader.list(fields, "targetRegions");
    let replication = reader.list(fields, "replicationRegions");
    let storage = reader.optional_choice(fields, "storageAccountType", STORAGE);
    let non_empty = |name| fields.get(name).filter(|node| !node.is_empty_list());
    let old = non_empty("replicationRegions");
    // Versions that require the list accept an empty one.
    let written = fields.get("replicationRegions");
    if let Some(node) = fields.get("storageAccountType").filter(|_| written.is_none()) {
        let hint = Some("set it in each entry of `targetRegions`".to_owned());
        reader.bad_value_hint(&node, "It requires 'replicationRegions'.", hint);
    }
    if let Some(node) = old.as_ref().filter(|_| non_empty("targetRegions").is_some()) {
        reader.note(Note {
            severity: Severity::Error,
            code: ErrorCode::ValidationFailed,
            path: node.path(),
            span: node.span(),
            message: format!(
                "{}Fields 'targetRegions' and 'replicationRegions' exclude each other",
                failed(fields.path())
            ),
            hint: Some("keep `targetRegions`; the other one is the old form".to_owned()),
        });
    }
    let mut earlier = Vec::new();
    if !targets.is_empty() {
        let read = targets.iter().filter_map(|node| target_region(reader, node, &mut earlier));
        return Regions::Target(read.collect());
    }
    if !replication.is_empty() {
        let read = replication.iter().filter_map(|node| region(reader, node, &mut earlier));
        return Regions::Replication {
            regions: read.collect(),
            storage_account_type: storage.unwrap_or_default(),
        };
    }
    match written {
        Some(node) if node.is_empty_list() => no_regions(reader, fields, &node),
        None if reader.version <= ApiVersion::V2022_02_14 => {
            reader.missing(fields, "replicationRegions", ErrorCode::ValidationFailed, None);
        }
        _ => {}
    }
    Regions::Default
}

fn no_regions(reader: &mut Reader<'_>, fields: &Fields<'_>, node: &Node<'_>) {
    let message = format!(
        "{}Field 'replicationRegions' is empty: the version is stored in the gallery's region",
        failed(fields.path())
    );
    reader.warn(node, message, Some("name the regions to keep copies in".to_owned()));
}

/// A region's name. `earlier` contains the normalized names of the regions before it.
fn region(reader: &mut Reader<'_>, node: &Node<'_>, earlier: &mut Vec<String>) -> Option<String> {
    if node.value.as_string_lit().is_some_and(|text| text.value.trim().is_empty()) {
        let hint = "remove the entry; without entries, the gallery's region applies".to_owned();
        reader.bad_value_hint(node, "A region's name must not be empty.", Some(hint));
        return None;
    }
    let name = reader.text(node)?;
    let key = name.replace(' ', "").to_lowercase();
    if earlier.contains(&key) {
        reader.bad_value(node, "The list already contains the region.");
        return None;
    }
    earlier.push(key);
    Some(name)
}

fn target_region(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    earlier: &mut Vec<String>,
) -> Option<TargetRegion> {
    let fields = reader.fields(node, TARGET_REGION)?;
    let name = reader.required(&fields, "name").and_then(|node| region(reader, &node, earlier));
    let most = i64::from(i32::MAX);
    let replica_count = reader.optional_integer(&fields, "replicaCount", 1..=most).unwrap_or(1);
    let storage_account_type =
        reader.optional_choice(&fields, "storageAccountType", STORAGE).unwrap_or_default();
    Some(TargetRegion { name: name?, replica_count, storage_account_type })
}

fn versioning(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Versioning> {
    let fields = reader.fields(node, VERSIONING)?;
    let latest = reader.optional_choice(&fields, "scheme", SCHEMES).unwrap_or(true);
    let most = i64::from(i32::MAX);
    let major = reader.optional_integer::<i64>(&fields, "major", -1..=most);
    if latest {
        return Some(Versioning::Latest { major: major.and_then(|major| major.try_into().ok()) });
    }
    if let Some(node) = fields.get("major") {
        reader.bad_value(&node, "It requires the scheme 'Latest'.");
    }
    Some(Versioning::Source)
}
