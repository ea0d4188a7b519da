//! `properties.source`: the image to start from.

use serde::Serialize;

use super::ApiVersion;
use super::kind::{Kind, Union, read_kind};
use super::read::fields::{Field, Fields};
use super::read::{Node, Reader};
use crate::{ErrorCode, ResourceId, ResourceKind};

/// The image to start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum Source {
    /// An image of the catalogue.
    PlatformImage(PlatformImage),
    /// A managed image.
    #[serde(rename_all = "camelCase")]
    ManagedImage {
        /// The id of the image.
        image_id: ResourceId,
    },
    /// A version of a gallery image.
    #[serde(rename_all = "camelCase")]
    SharedImageVersion {
        /// The id of the version, whose last part may be `latest`.
        image_version_id: ResourceId,
    },
}

/// An image of the catalogue, `publisher:offer:sku:version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformImage {
    /// The publisher.
    pub publisher: String,
    /// The product of the publisher.
    pub offer: String,
    /// The edition of the product.
    pub sku: String,
    /// The version, or `latest`.
    pub version: String,
    /// The purchase plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_info: Option<PlanInfo>,
}

/// A purchase plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanInfo {
    /// The name of the plan.
    pub plan_name: String,
    /// The product of the plan.
    pub plan_product: String,
    /// The publisher of the plan.
    pub plan_publisher: String,
}

impl Source {
    /// The value of `type`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PlatformImage(_) => "PlatformImage",
            Self::ManagedImage { .. } => "ManagedImage",
            Self::SharedImageVersion { .. } => "SharedImageVersion",
        }
    }

    /// The image or the version; `None` for an image of the catalogue.
    pub const fn id(&self) -> Option<&ResourceId> {
        match self {
            Self::PlatformImage(_) => None,
            Self::ManagedImage { image_id: id }
            | Self::SharedImageVersion { image_version_id: id } => Some(id),
        }
    }

    /// The gallery image whose version it is, if it is one.
    pub fn definition(&self) -> Option<ResourceId> {
        self.id().filter(|id| id.is(ResourceKind::GalleryImageVersion))?.parent()
    }

    /// The version of a gallery image, if it is one.
    pub fn version_mut(&mut self) -> Option<&mut ResourceId> {
        match self {
            Self::SharedImageVersion { image_version_id } => Some(image_version_id),
            Self::PlatformImage(_) | Self::ManagedImage { .. } => None,
        }
    }

    /// A comparable key of that which it is a version of; `None` for an image without versions.
    pub fn versions_of(&self) -> Option<String> {
        match self {
            Self::PlatformImage(image) => {
                let PlatformImage { publisher, offer, sku, plan_info, .. } = image;
                let plan = serde_json::to_value(plan_info).unwrap_or_default();
                Some(format!("{publisher}:{offer}:{sku}:{plan}"))
            }
            Self::ManagedImage { .. } => None,
            Self::SharedImageVersion { .. } => self.definition().map(|id| id.to_string()),
        }
    }

    /// How the image that it was resolved to is shown; `None` for an image without versions.
    pub fn exact_version<'r>(&self, resolved: &'r str) -> Option<&'r str> {
        match self {
            Self::PlatformImage(_) => resolved.rsplit(':').next(),
            Self::SharedImageVersion { .. } => Some(resolved),
            Self::ManagedImage { .. } => None,
        }
    }

    /// The exact version, if it is known without a look at the catalogue or the gallery.
    pub fn stated_version(&self) -> Option<&str> {
        match self {
            Self::PlatformImage(image) => {
                Some(image.version.as_str()).filter(|_| !self.is_latest())
            }
            Self::ManagedImage { .. } | Self::SharedImageVersion { .. } => None,
        }
    }

    /// Whether it is the newest version at the time of a run.
    pub fn is_latest(&self) -> bool {
        let version = match self {
            Self::PlatformImage(image) => image.version.as_str(),
            Self::SharedImageVersion { image_version_id } => image_version_id.name(),
            Self::ManagedImage { .. } => return false,
        };
        version.eq_ignore_ascii_case("latest")
    }
}

/// The field of every source.
const TYPE: &[Field] = &[Field::new("type")];

const PLATFORM_IMAGE: &[Field] = &[
    Field::new("publisher"),
    Field::new("offer"),
    Field::new("sku"),
    Field::new("version"),
    Field::since("planInfo", ApiVersion::V2020_02_14),
    Field::ignored("exactVersion"),
];

const PLAN_INFO: &[Field] =
    &[Field::new("planName"), Field::new("planProduct"), Field::new("planPublisher")];

const MANAGED_IMAGE: &[Field] = &[Field::new("imageId")];

const SHARED_IMAGE_VERSION: &[Field] =
    &[Field::new("imageVersionId"), Field::ignored("exactVersion")];

const KINDS: &[Kind<Source>] = &[
    Kind::new("PlatformImage", PLATFORM_IMAGE, platform_image),
    Kind::new("ManagedImage", MANAGED_IMAGE, managed_image),
    Kind::new("SharedImageVersion", SHARED_IMAGE_VERSION, shared_image_version),
];

pub(super) fn read(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Source> {
    let union = Union { what: "source", code: ErrorCode::BadSourceType, fields: TYPE };
    read_kind(reader, node, KINDS, union)?.0
}

fn platform_image(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Source> {
    let publisher = reader.required_text(fields, "publisher");
    let offer = reader.required_text(fields, "offer");
    let sku = reader.required_text(fields, "sku");
    let version = reader.required_text(fields, "version");
    let plan_info = fields.get("planInfo").and_then(|node| plan_info(reader, &node));
    Some(Source::PlatformImage(PlatformImage {
        publisher: publisher?,
        offer: offer?,
        sku: sku?,
        version: version?,
        plan_info,
    }))
}

fn plan_info(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<PlanInfo> {
    let fields = reader.fields(node, PLAN_INFO)?;
    let plan_name = reader.required_text(&fields, "planName");
    let plan_product = reader.required_text(&fields, "planProduct");
    let plan_publisher = reader.required_text(&fields, "planPublisher");
    Some(PlanInfo {
        plan_name: plan_name?,
        plan_product: plan_product?,
        plan_publisher: plan_publisher?,
    })
}

fn managed_image(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Source> {
    let node = reader.required(fields, "imageId")?;
    let image_id = reader.resource_id(&node, &[ResourceKind::Image])?;
    Some(Source::ManagedImage { image_id })
}

fn shared_image_version(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Source> {
    let node = reader.required(fields, "imageVersionId")?;
    if is_shared_outside(&node) {
        let message = format!(
            "{}images shared directly by another tenant or by a community are not available here",
            fields.failed()
        );
        let hint = "import the image and name it by its own id".to_owned();
        reader.fail(ErrorCode::UnsupportedFeature, node.at(), message, Some(hint));
        return None;
    }
    let image_version_id = reader.resource_id(&node, &[ResourceKind::GalleryImageVersion])?;
    let version = image_version_id.name();
    if version.eq_ignore_ascii_case("latest") {
        if reader.version < ApiVersion::V2022_07_01 {
            let hint = format!("name a version, or use api-version {}", ApiVersion::V2022_07_01);
            let reason = format!("api-version {} does not support `latest` here.", reader.version);
            reader.bad_value_hint(&node, &reason, Some(hint));
        }
    } else if gallery_version(version).is_none() {
        let hint = Some("end it with `/versions/1.2.3` or `/versions/latest`".to_owned());
        reader.bad_value_hint(
            &node,
            "A version is three numbers or `latest`; numbers have no leading zeros.",
            hint,
        );
    }
    Some(Source::SharedImageVersion { image_version_id })
}

fn is_shared_outside(node: &Node<'_>) -> bool {
    node.value.as_string_lit().is_some_and(|text| {
        let text = text.value.to_ascii_lowercase();
        text.starts_with("/sharedgalleries/") || text.starts_with("/communitygalleries/")
    })
}

/// Parses the version number of a gallery image. As in Azure, it is three numbers of 32 bits without
/// leading zeros. `None` for any other text.
pub fn gallery_version(text: &str) -> Option<[u32; 3]> {
    let number = |part: &str| {
        let plain = part == "0" || !part.starts_with('0');
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        let number = (plain && digits).then(|| part.parse::<i32>().ok()).flatten()?;
        u32::try_from(number).ok()
    };
    let parts: Option<Vec<u32>> = text.split('.').map(number).collect();
    parts?.try_into().ok()
}
