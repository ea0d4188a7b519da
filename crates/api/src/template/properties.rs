//! `properties`: the settings of a template apart from its envelope.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::distribute::{self, Delivery, Target};
use super::kind::Tagged;
use super::optimize::{self, Optimize};
use super::read::fields::Field;
use super::read::{Node, Reader, failed};
use super::script::Owner;
use super::source::{self, Source};
use super::step::{self, Step};
use super::validate::{self, Validate};
use super::vm_profile::{self, VmProfile};
use super::{ApiVersion, Kinds};
use crate::{ResourceId, ResourceKind, tags};

/// The settings of a template apart from its envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", bound = "S: Tagged, D: Tagged")]
pub struct Properties<S, D> {
    /// The image to start from.
    pub source: Source,
    /// The steps that change the machine, in order.
    pub customize: Vec<Step<S>>,
    /// Optimizations of the finished image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimize: Option<Optimize>,
    /// The validation of the finished image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate: Option<Validate<S>>,
    /// The targets of the finished image; never empty.
    pub distribute: Vec<Target<D>>,
    /// What happens to the machine after a failure.
    pub error_handling: ErrorHandling,
    /// The limit as written, in minutes; 0 means the default. See [`Properties::build_timeout`].
    pub build_timeout_in_minutes: u32,
    /// The build machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_profile: Option<VmProfile>,
    /// Disks to add to the image.
    pub additional_data_disks: Vec<DataDisk>,
    /// The resource group for the resources of a build; by default the service creates one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staging_resource_group: Option<ResourceId>,
    /// Whether the creation of the template starts a run.
    #[serde(serialize_with = "optimize::as_object")]
    pub auto_run: bool,
    /// Tags of the resources that the service creates for the build.
    pub managed_resource_tags: BTreeMap<String, String>,
}

impl<S, D> Properties<S, D> {
    /// The time limit of a build.
    pub fn build_timeout(&self) -> Duration {
        let minutes = match self.build_timeout_in_minutes {
            0 => 240,
            minutes => minutes,
        };
        Duration::from_secs(u64::from(minutes) * 60)
    }
}

/// What happens to the machine after a failure, by the kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorHandling {
    /// After a customizer has failed.
    pub on_customizer_error: OnError,
    /// After a validator has failed.
    pub on_validation_error: OnError,
}

/// What happens to the machine after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OnError {
    /// The machine is removed.
    #[default]
    Cleanup,
    /// The machine is retained for inspection.
    Abort,
}

/// A disk to add to the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DataDisk {
    /// The size in GB.
    #[serde(rename = "sizeGB")]
    pub size_gb: u32,
}

pub(super) const FIELDS: &[Field] = &[
    Field::new("source"),
    Field::new("customize"),
    Field::since("optimize", ApiVersion::V2022_07_01),
    Field::since("validate", ApiVersion::V2022_02_14),
    Field::new("distribute"),
    Field::since("errorHandling", ApiVersion::V2023_07_01),
    Field::new("buildTimeoutInMinutes"),
    Field::new("vmProfile"),
    Field::since("additionalDataDisks", ApiVersion::V2025_10_01),
    Field::since("stagingResourceGroup", ApiVersion::V2022_02_14).narrowing(),
    Field::since("autoRun", ApiVersion::V2024_02_01),
    Field::since("managedResourceTags", ApiVersion::V2024_02_01),
    Field::ignored("exactStagingResourceGroup"),
    Field::ignored("provisioningState"),
    Field::ignored("provisioningError"),
    Field::ignored("lastRunStatus"),
];

const ERROR_HANDLING: &[Field] =
    &[Field::new("onCustomizerError"), Field::new("onValidationError")];

/// The largest disk in Azure, in GB.
const MOST_GB: i64 = 32_767;
/// The maximum number of data disks of a machine in Azure.
const MOST_DISKS: usize = 64;

/// The service adds three tags of its own to the resources that it creates.
const MOST_MANAGED_TAGS: usize = tags::MOST - 3;

const DATA_DISK: &[Field] = &[Field::new("sizeGB")];

const ON_ERROR: &[(&str, OnError)] = &[("cleanup", OnError::Cleanup), ("abort", OnError::Abort)];

/// Fields that `az image builder create --image-template` reads beside `properties`. They take
/// precedence over those inside.
#[derive(Default)]
pub(super) struct Beside<'v> {
    pub(super) validate: Option<Node<'v>>,
    pub(super) staging_resource_group: Option<Node<'v>>,
}

impl<'v> Beside<'v> {
    /// The field beside `properties` if present, otherwise the one inside.
    fn first(
        reader: &mut Reader<'_>,
        beside: Option<Node<'v>>,
        inside: Option<Node<'v>>,
    ) -> Option<Node<'v>> {
        if let (Some(beside), Some(inside)) = (&beside, &inside) {
            let message = format!(
                "{}Field '{}' is ignored: '{}' beside 'properties' takes precedence, as in az",
                failed("properties"),
                inside.field(),
                beside.field(),
            );
            reader.warn(inside, message, Some("keep one of the two".to_owned()));
        }
        beside.or(inside)
    }
}

pub(super) fn read<S, D: Delivery>(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    beside: Beside<'_>,
    kinds: &Kinds<S, D>,
) -> Option<Properties<S, D>> {
    let fields = reader.fields(node, FIELDS)?;
    let source = reader.required(&fields, "source").and_then(|node| source::read(reader, &node));
    let steps = reader.list(&fields, "customize");
    let customize = step::read_all(reader, &steps, kinds.customizers, Owner::Customizer);
    let optimize = fields.get("optimize").and_then(|node| optimize::read(reader, &node));
    let validate = Beside::first(reader, beside.validate, fields.get("validate"))
        .and_then(|node| validate::read(reader, &node, kinds.validators));
    let distribute = distribute::read_all(reader, &fields, kinds.distributors);
    let error_handling = fields.get("errorHandling").and_then(|node| error_handling(reader, &node));
    let timeout = reader.optional_integer(&fields, "buildTimeoutInMinutes", 0..=960);
    let vm_profile = fields.get("vmProfile").and_then(|node| vm_profile::read(reader, &node));
    let disks = reader.list(&fields, "additionalDataDisks");
    let additional_data_disks = disks.iter().filter_map(|node| disk(reader, node)).collect();
    if let Some(node) = disks.get(MOST_DISKS) {
        reader.bad_value(node, &format!("A machine can have at most {MOST_DISKS} data disks."));
    }
    let inside = fields.get("stagingResourceGroup");
    let staging_resource_group = Beside::first(reader, beside.staging_resource_group, inside)
        .and_then(|node| reader.id_or_empty(&node, ResourceKind::ResourceGroup));
    let auto_run = fields.get("autoRun").is_some_and(|node| optimize::read_state(reader, &node));
    let managed_resource_tags = reader.tags(&fields, "managedResourceTags", MOST_MANAGED_TAGS);
    Some(Properties {
        source: source?,
        customize,
        optimize,
        validate,
        distribute,
        error_handling: error_handling.unwrap_or_default(),
        build_timeout_in_minutes: timeout.unwrap_or(0),
        vm_profile,
        additional_data_disks,
        staging_resource_group,
        auto_run,
        managed_resource_tags,
    })
}

fn error_handling(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<ErrorHandling> {
    let fields = reader.fields(node, ERROR_HANDLING)?;
    let mut on = |name| reader.optional_choice(&fields, name, ON_ERROR).unwrap_or_default();
    Some(ErrorHandling {
        on_customizer_error: on("onCustomizerError"),
        on_validation_error: on("onValidationError"),
    })
}

fn disk(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<DataDisk> {
    let fields = reader.fields(node, DATA_DISK)?;
    let size = reader.required(&fields, "sizeGB")?;
    reader.integer(&size, 1..=MOST_GB).map(|size_gb| DataDisk { size_gb })
}
