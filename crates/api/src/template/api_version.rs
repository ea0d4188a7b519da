//! The api-versions of image templates, oldest first.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A supported api-version of `Microsoft.VirtualMachineImages`. Newer versions are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiVersion {
    /// The last version in which `identity` is optional.
    V2019_05_01Preview,
    /// The first stable version. Added purchase plans, virtual networks and explicit gallery versions.
    V2020_02_14,
    /// Added identities of the build VM and the proxy VM size.
    V2021_10_01,
    /// Added `validate` and `stagingResourceGroup`.
    V2022_02_14,
    /// Added `optimize`, `versioning`, `targetRegions` and the target of a VHD.
    V2022_07_01,
    /// Added `errorHandling`.
    V2023_07_01,
    /// Made names strict; added `autoRun` and `managedResourceTags`.
    V2024_02_01,
    /// Added data disks, workload optimization and the replication mode.
    V2025_10_01,
}

/// The string is not a supported api-version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown api-version `{0}`")]
pub struct UnknownApiVersion(pub String);

impl ApiVersion {
    /// All supported versions, oldest first.
    pub const ALL: &[Self] = &[
        Self::V2019_05_01Preview,
        Self::V2020_02_14,
        Self::V2021_10_01,
        Self::V2022_02_14,
        Self::V2022_07_01,
        Self::V2023_07_01,
        Self::V2024_02_01,
        Self::V2025_10_01,
    ];

    /// The newest version, which is the default.
    pub const LATEST: Self = Self::V2025_10_01;

    /// The name in templates and requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V2019_05_01Preview => "2019-05-01-preview",
            Self::V2020_02_14 => "2020-02-14",
            Self::V2021_10_01 => "2021-10-01",
            Self::V2022_02_14 => "2022-02-14",
            Self::V2022_07_01 => "2022-07-01",
            Self::V2023_07_01 => "2023-07-01",
            Self::V2024_02_01 => "2024-02-01",
            Self::V2025_10_01 => "2025-10-01",
        }
    }

    /// Whether unknown names and names in the wrong case are errors. Older versions ignore the former
    /// and accept the latter.
    pub fn is_strict(self) -> bool {
        self >= Self::V2024_02_01
    }

    /// The newest version that is not newer than the date in `text`, or the oldest version.
    pub(super) fn nearest(text: &str) -> Self {
        Self::ALL
            .iter()
            .copied()
            .rev()
            .find(|version| version.name() <= text)
            .unwrap_or(Self::V2019_05_01Preview)
    }

    /// All names, for messages.
    pub(super) fn list() -> String {
        Self::ALL.iter().map(|version| version.name()).collect::<Vec<_>>().join(", ")
    }
}

impl FromStr for ApiVersion {
    type Err = UnknownApiVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|version| version.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownApiVersion(text.to_owned()))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ApiVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
