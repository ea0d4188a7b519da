//! The fields of `SharedImage` and their rules.

use std::sync::Arc;

use api::{
    ErrorCode, ResourceId, ResourceKind,
    template::{
        ApiVersion, Field, Fields, Kind, Named, Node, Reader, Regions, StorageAccountType,
        TargetRegion, gallery_version,
    },
};

use super::{Distributor, ReplicationMode, SharedImage, Versioning};

pub(in crate::distribute) const KIND: Kind<Arc<dyn Distributor>> =
    Kind::new(SharedImage::NAME, FIELDS, read);

const FIELDS: &[Field] = &[
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

fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Arc<dyn Distributor>> {
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
            fields.failed(),
            gallery_image_id.name()
        );
        reader.warn(&node, message, None);
    }
    Some(Arc::new(SharedImage {
        gallery_image_id,
        regions,
        exclude_from_latest,
        versioning: versioning.unwrap_or_default(),
        replication_mode,
    }))
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
        } else if reader.version() < ApiVersion::V2020_02_14 {
            let reason = format!("api-version {} takes a definition only.", reader.version());
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
        let message = format!(
            "{}Fields 'targetRegions' and 'replicationRegions' exclude each other",
            fields.failed()
        );
        let hint = "keep `targetRegions`; the other one is the old form".to_owned();
        reader.error(node, message, Some(hint));
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
        None if reader.version() <= ApiVersion::V2022_02_14 => {
            reader.missing(fields, "replicationRegions", ErrorCode::ValidationFailed, None);
        }
        _ => {}
    }
    Regions::Default
}

fn no_regions(reader: &mut Reader<'_>, fields: &Fields<'_>, node: &Node<'_>) {
    let message = format!(
        "{}Field 'replicationRegions' is empty: the version is stored in the gallery's region",
        fields.failed()
    );
    reader.warn(node, message, Some("name the regions to keep copies in".to_owned()));
}

/// A region's name. `earlier` contains the normalized names of the regions before it.
fn region(reader: &mut Reader<'_>, node: &Node<'_>, earlier: &mut Vec<String>) -> Option<String> {
    if node.as_text().is_some_and(|text| text.trim().is_empty()) {
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
