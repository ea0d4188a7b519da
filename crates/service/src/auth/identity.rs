//! Ids of the tenant and the subscription, generated once. Resource ids and tokens contain them.

use std::path::Path;

use api::ErrorCode;
use images::{
    error::{Coded, Result},
    files,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `identity.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The tenant's id.
    pub tenant: Uuid,
    /// The subscription's id.
    pub subscription: Uuid,
}

impl Identity {
    /// The ids in the server's folder, generated if missing.
    pub fn obtain(dir: &Path) -> Result<Self> {
        if let Some(identity) = Self::read(dir)? {
            return Ok(identity);
        }
        let identity = Self { tenant: Uuid::new_v4(), subscription: Uuid::new_v4() };
        identity.write(dir)?;
        Ok(identity)
    }

    /// The ids in the server's folder; `None` before the first start.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let remedy =
            "restore it from a backup: it contains the ids of the tenant and the subscription";
        files::read_json(&dir.join(FILE), remedy)
    }

    /// Replaces the folder's ids.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let cannot = || format!("cannot write {}", path.display());
        let text = serde_json::to_string_pretty(self).code(ErrorCode::InternalError, cannot)?;
        files::write_public(&path, &text).code(ErrorCode::HostNotReady, cannot)
    }
}

/// The file name.
const FILE: &str = "identity.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_damage_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::obtain(dir.path()).unwrap();
        assert_ne!(first.tenant, first.subscription);
        assert_eq!(Identity::obtain(dir.path()).unwrap(), first);
        std::fs::write(dir.path().join("identity.json"), "{").unwrap();
        let error = Identity::obtain(dir.path()).unwrap_err();
        assert!(error.message.contains("identity.json is damaged"), "{}", error.message);
    }
}
