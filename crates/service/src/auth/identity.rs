//! Ids of the tenant and the subscription, made once: every resource id and every token holds them.

use std::path::Path;

use api::ErrorCode;
use images::{
    error::{Coded, Error, Result},
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
    /// The ids of the server whose folder it is; made if it has none yet.
    pub fn obtain(dir: &Path) -> Result<Self> {
        if let Some(identity) = Self::read(dir)? {
            return Ok(identity);
        }
        let made = Self { tenant: Uuid::new_v4(), subscription: Uuid::new_v4() };
        made.write(dir)?;
        Ok(made)
    }

    /// The ids of the server whose folder it is; `None` before its first start.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        let read = files::read(&path)
            .code(ErrorCode::HostNotReady, || format!("cannot read {}", path.display()))?;
        let Some(text) = read else { return Ok(None) };
        let identity = serde_json::from_str(&text).map_err(|error| {
            Error::new(ErrorCode::HostNotReady, format!("{} is damaged: {error}", path.display()))
                .hint("put it back from a backup: it holds the ids of tenant and subscription")
        })?;
        Ok(Some(identity))
    }

    /// Replaces the folder's ids.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let cannot = || format!("cannot write {}", path.display());
        let text = serde_json::to_string_pretty(self).code(ErrorCode::InternalError, cannot)?;
        files::write_public(&path, &text).code(ErrorCode::HostNotReady, cannot)
    }
}

/// Its name in the server's folder.
const FILE: &str = "identity.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_once_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::obtain(dir.path()).unwrap();
        assert_ne!(first.tenant, first.subscription);
        assert_eq!(Identity::obtain(dir.path()).unwrap(), first);
        std::fs::write(dir.path().join("identity.json"), "{").unwrap();
        let error = Identity::obtain(dir.path()).unwrap_err();
        assert!(error.message.contains("identity.json is damaged"), "{}", error.message);
    }
}
