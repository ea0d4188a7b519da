//! The distributor `SharedImage`: a version of a gallery image.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::ApiVersion;
use super::diagnostic::Severity;
use super::read::fields::{Field, Fields};
use super::read::{Node, Note, Reader, failed};
use super::source::gallery_version;
use crate::{ErrorCode, ResourceId, ResourceKind};

/// A version of a gallery image to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedImage {
    /// The definition, or the version to make.
    pub gallery_image_id: ResourceId,
    /// Where copies are kept; none stands for the gallery's own region.
    #[serde(flatten)]
    pub regions: Regions,
    /// Keep it out of the search for `latest`.
    pub exclude_from_latest: bool,
    /// How the version's number is chosen when the id has none.
    #[serde(skip_serializing_if = "Versioning::is_default")]
    pub versioning: Versioning,
    /// How copies are made.
    pub replication_mode: ReplicationMode,
}

impl SharedImage {
    /// The definition's id.
    pub fn definition(&self) -> ResourceId {
        match self.explicit_version() {
            Some(_) => self.gallery_image_id.parent(),
            None => None,
        }
        .unwrap_or_else(|| self.gallery_image_id.clone())
    }

    /// The version's number, where the template gives it.
    pub fn explicit_version(&self) -> Option<&str> {
        self.gallery_image_id
            .is(ResourceKind::GalleryImageVersion)
            .then(|| self.gallery_image_id.name())
    }
}

/// Where copies are kept, in the new form or in the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// Regions with settings of their own, `targetRegions`.
    Target(Vec<TargetRegion>),
    /// Regions with one setting for all, `replicationRegions`.
    Replication {
        /// Their names.
        regions: Vec<String>,
        /// On what kind of storage.
        storage_account_type: StorageAccountType,
    },
    /// The gallery's own region.
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

/// A region to keep copies in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetRegion {
    /// Its name.
    pub name: String,
    /// How many copies.
    pub replica_count: u32,
    /// On what kind of storage.
    pub storage_account_type: StorageAccountType,
}

/// The kinds of storage for gallery versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum StorageAccountType {
    /// Local copies, the default.
    #[default]
    #[serde(rename = "Standard_LRS")]
    StandardLrs,
    /// Copies in several zones.
    #[serde(rename = "Standard_ZRS")]
    StandardZrs,
    /// Local copies on fast disks.
    #[serde(rename = "Premium_LRS")]
    PremiumLrs,
}

/// How a version's number is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "scheme")]
pub enum Versioning {
    /// One after the latest, in the given major version if there is one.
    Latest {
        /// The major version to stay in.
        #[serde(skip_serializing_if = "Option::is_none")]
        major: Option<u32>,
    },
    /// The source's own.
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

/// How copies are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum ReplicationMode {
    /// All of the image in every region.
    #[default]
    Full,
    /// Just enough to use it.
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

/// Whether the scheme is `Latest`.
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
            let hint = Some("leave `/versions/…` off to have versions numbered".to_owned());
            reader.bad_value_hint(
                node,
                "A version to make is three numbers, without zeros before them.",
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
    let given = |name| fields.get(name).filter(|node| !node.is_empty_list());
    let old = given("replicationRegions");
    // An empty list is there, and the versions that want one set no least length.
    let written = fields.get("replicationRegions");
    if let Some(node) = fields.get("storageAccountType").filter(|_| written.is_none()) {
        let hint = Some("set it in each entry of `targetRegions`".to_owned());
        reader.bad_value_hint(&node, "It goes only together with 'replicationRegions'.", hint);
    }
    if let Some(node) = old.as_ref().filter(|_| given("targetRegions").is_some()) {
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
    let mut seen = Vec::new();
    if !targets.is_empty() {
        let read = targets.iter().filter_map(|node| target_region(reader, node, &mut seen));
        return Regions::Target(read.collect());
    }
    if !replication.is_empty() {
        let read = replication.iter().filter_map(|node| region(reader, node, &mut seen));
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
        "{}Field 'replicationRegions' is empty: the version is kept in the gallery's own region",
        failed(fields.path())
    );
    reader.warn(node, message, Some("name the regions to keep copies in".to_owned()));
}

/// A region's name; `seen` are those before it, spelt alike.
fn region(reader: &mut Reader<'_>, node: &Node<'_>, seen: &mut Vec<String>) -> Option<String> {
    if node.value.as_string_lit().is_some_and(|text| text.value.trim().is_empty()) {
        let hint = "remove the entry; without any, the gallery's own region is taken".to_owned();
        reader.bad_value_hint(node, "A region's name must not be empty.", Some(hint));
        return None;
    }
    let name = reader.text(node)?;
    let key = name.replace(' ', "").to_lowercase();
    if seen.contains(&key) {
        reader.bad_value(node, "The region is in the list already.");
        return None;
    }
    seen.push(key);
    Some(name)
}

fn target_region(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    seen: &mut Vec<String>,
) -> Option<TargetRegion> {
    let fields = reader.fields(node, TARGET_REGION)?;
    let name = reader.required(&fields, "name").and_then(|node| region(reader, &node, seen));
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
        reader.bad_value(&node, "It goes only with scheme 'Latest'.");
    }
    Some(Versioning::Source)
}
