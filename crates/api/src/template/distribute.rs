//! `properties.distribute`: the targets of the finished image.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ApiVersion;
use super::gallery::{SHARED_IMAGE, SharedImage, Versioning, read_shared_image};
use super::kind::{Kind, Union, read_kind};
use super::read::fields::{Field, Fields};
use super::read::{Node, Reader};
use super::script::Location;
use crate::{ErrorCode, ResourceId, ResourceKind, tags};

/// A target of the finished image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Distributor {
    /// Its path in the template, such as `properties.distribute[0]`.
    #[serde(skip)]
    pub path: String,
    /// The name of the run output; unique in the template, without case.
    pub run_output_name: String,
    /// Tags of the artifact.
    pub artifact_tags: BTreeMap<String, String>,
    /// The type with its settings.
    #[serde(flatten)]
    pub kind: DistributorKind,
}

/// The types of distributors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum DistributorKind {
    /// A managed image.
    ManagedImage(ManagedImage),
    /// A version of a gallery image.
    SharedImage(SharedImage),
    /// A VHD file.
    #[serde(rename = "VHD")]
    Vhd(Vhd),
}

impl DistributorKind {
    /// The value of `type`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ManagedImage(_) => "ManagedImage",
            Self::SharedImage(_) => "SharedImage",
            Self::Vhd(_) => "VHD",
        }
    }

    const fn product(&self) -> &'static str {
        match self {
            Self::ManagedImage(_) => "image",
            Self::SharedImage(_) => "version",
            Self::Vhd(_) => "blob",
        }
    }

    /// The field that names the target, and the target as a comparable key. Two distributors must not
    /// have the same key. `None` if each run creates a new artifact.
    fn writes(&self) -> Option<(&'static str, String)> {
        match self {
            Self::ManagedImage(image) => {
                Some(("imageId", image.image_id.to_string().to_lowercase()))
            }
            Self::SharedImage(image) => {
                let id = image.gallery_image_id.to_string().to_lowercase();
                match image.versioning {
                    _ if image.explicit_version().is_some() => Some(("galleryImageId", id)),
                    // A source has only one version, so two such targets would collide.
                    Versioning::Source => Some(("galleryImageId", format!("{id}/versions/source"))),
                    Versioning::Latest { .. } => None,
                }
            }
            Self::Vhd(vhd) => Some(("uri", blob_key(vhd.uri.as_ref()?))),
        }
    }
}

/// A blob's address as a comparable key: case matters in the names of blobs, but not in host names.
fn blob_key(uri: &str) -> String {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    format!("{}/{path}", host.to_lowercase())
}

/// A managed image to create or replace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedImage {
    /// The id of the image.
    pub image_id: ResourceId,
    /// The region of the image.
    pub location: String,
}

/// A VHD file to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vhd {
    /// The blob to write; by default one in the staging storage account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

const MANAGED_IMAGE: &[Field] = &[
    Field::new("type"),
    Field::new("runOutputName"),
    Field::new("artifactTags"),
    Field::new("imageId"),
    Field::new("location"),
];

const VHD: &[Field] = &[
    Field::new("type"),
    Field::new("runOutputName"),
    Field::new("artifactTags"),
    Field::since("uri", ApiVersion::V2022_07_01),
];

const KINDS: &[Kind<Read>] = &[
    Kind::new("ManagedImage", MANAGED_IMAGE, |reader, fields| {
        let common = common(reader, fields);
        with(common, managed_image(reader, fields))
    }),
    Kind::new("SharedImage", SHARED_IMAGE, |reader, fields| {
        let common = common(reader, fields);
        with(common, read_shared_image(reader, fields).map(DistributorKind::SharedImage))
    }),
    Kind::new("VHD", VHD, |reader, fields| {
        let common = common(reader, fields);
        with(common, Some(vhd(reader, fields)))
    }),
];

/// The common fields, and the type with its settings.
type Read = (Common, DistributorKind);

struct Common {
    run_output_name: String,
    artifact_tags: BTreeMap<String, String>,
}

fn with(common: Option<Common>, kind: Option<DistributorKind>) -> Option<Read> {
    Some((common?, kind?))
}

pub(super) fn read_all(reader: &mut Reader<'_>, properties: &Fields<'_>) -> Vec<Distributor> {
    let Some(node) = reader.required(properties, "distribute") else {
        return Vec::new();
    };
    let nodes = reader.elements(&node);
    if node.is_empty_list() {
        let hint = Some(
            "`{\"type\": \"VHD\", \"runOutputName\": \"disk\"}` is the shortest form".to_owned(),
        );
        reader.bad_value_hint(&node, "At least one target is needed.", hint);
    }
    let mut in_use = InUse::default();
    nodes.iter().filter_map(|node| read(reader, node, &mut in_use)).collect()
}

/// Names and targets that earlier distributors use, each with the path of its distributor.
#[derive(Default)]
struct InUse {
    /// The names of run outputs, in lower case.
    names: Vec<(String, String)>,
    /// The targets, see [`DistributorKind::writes`].
    targets: Vec<(String, String)>,
}

/// Registers a name or target. Returns the path of the distributor that already uses it.
fn take(in_use: &mut Vec<(String, String)>, what: String, path: &str) -> Option<String> {
    let other = in_use.iter().find(|(other, _)| *other == what).map(|(_, path)| path.clone());
    in_use.push((what, path.to_owned()));
    other
}

fn read(reader: &mut Reader<'_>, node: &Node<'_>, in_use: &mut InUse) -> Option<Distributor> {
    let union = Union { what: "distributor", code: ErrorCode::BadDistributeType };
    let ((common, kind), fields) = read_kind(reader, node, KINDS, union)?;
    let path = node.path();
    let other = take(&mut in_use.names, common.run_output_name.to_lowercase(), &path);
    if let (Some(other), Some(name)) = (other, fields.get("runOutputName")) {
        let reason = format!("'{other}' has the same name; names must differ in more than case.");
        let hint = Some("give every target a different name".to_owned());
        reader.bad_value_hint(&name, &reason, hint);
    }
    if let Some((field, what)) = kind.writes()
        && let Some(other) = take(&mut in_use.targets, what, &path)
        && let Some(target) = fields.get(field)
    {
        let reason = format!("'{other}' writes the same {}.", kind.product());
        let hint = Some("remove or change one of the two".to_owned());
        reader.bad_value_hint(&target, &reason, hint);
    }
    Some(Distributor {
        path,
        run_output_name: common.run_output_name,
        artifact_tags: common.artifact_tags,
        kind,
    })
}

fn common(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Common> {
    let run_output_name =
        reader.required(fields, "runOutputName").and_then(|node| run_output_name(reader, &node));
    let artifact_tags = reader.tags(fields, "artifactTags", tags::MOST);
    Some(Common { run_output_name: run_output_name?, artifact_tags })
}

fn run_output_name(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<String> {
    let name = reader.text(node)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() > 64 || !name.chars().all(allowed) {
        reader.bad_value(node, "A name must be 1 to 64 letters, digits, `-`, `_` or `.`.");
        return None;
    }
    Some(name)
}

fn managed_image(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<DistributorKind> {
    let image_id = reader
        .required(fields, "imageId")
        .and_then(|node| reader.resource_id(&node, &[ResourceKind::Image]));
    let location = reader.required_text(fields, "location");
    Some(DistributorKind::ManagedImage(ManagedImage { image_id: image_id?, location: location? }))
}

fn vhd(reader: &mut Reader<'_>, fields: &Fields<'_>) -> DistributorKind {
    let uri = reader.present(fields, "uri").map(|(node, uri)| {
        match Location::of(&uri) {
            Ok(Location::Web(_)) if uri.contains('?') => {
                let hint = Some("give the identity write access instead of a token".to_owned());
                reader.bad_value_hint(
                    &node,
                    "A blob's address must not have a query or token.",
                    hint,
                );
            }
            Ok(Location::Web(_)) => {}
            Ok(Location::Path(_)) => {
                let hint = Some("to write a local file, use `--export vhd=PATH`".to_owned());
                reader.bad_value_hint(&node, "Expected the http or https address of a blob.", hint);
            }
            Err(reason) => reader.bad_value(&node, &reason),
        }
        uri
    });
    DistributorKind::Vhd(Vhd { uri })
}
