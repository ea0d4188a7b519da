//! The resource types, one file each.

pub(crate) mod generic;
pub(crate) mod image_builder;

use crate::arm::ResourceType;

/// Every type that is served. A new one is a file and a line here.
pub(crate) const TYPES: &[&dyn ResourceType] = &[
    &image_builder::ImageTemplates,
    &image_builder::RunOutputs,
    &image_builder::Runs,
    &image_builder::Triggers,
];
