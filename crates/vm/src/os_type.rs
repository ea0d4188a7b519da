//! The operating system of a guest.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The operating system of a guest, by the names of `osType` in Azure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OsType {
    /// Commands are for `/bin/sh`.
    #[default]
    Linux,
    /// Commands are for `cmd.exe`.
    Windows,
}

impl OsType {
    /// The name in Azure: `Linux` or `Windows`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Windows => "Windows",
        }
    }

    /// Reads a name in any case; `None` for another system.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Linux, Self::Windows].into_iter().find(|os| os.name().eq_ignore_ascii_case(name))
    }

    /// For `skip_serializing_if`: files of an earlier goldsmith have no such field.
    pub fn is_linux(&self) -> bool {
        *self == Self::Linux
    }
}

impl fmt::Display for OsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
