//! The formats of image files.

use serde::Serialize;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// The formats that Goldsmith reads and writes, by the names that users write.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Qcow2,
    Raw,
    Vhd,
    Vmdk,
}

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name that users write.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The name of QEMU's block driver.
    pub fn driver(self) -> &'static str {
        match self {
            Self::Vhd => "vpc",
            Self::Qcow2 | Self::Raw | Self::Vmdk => self.name(),
        }
    }

    /// The format with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}
