//! The resource types, one file each.

pub(crate) mod generic;

use crate::arm::ResourceType;

/// Every type that is served. A new one is a file and a line here.
pub(crate) const TYPES: &[&dyn ResourceType] = &[];
