//! `login.json`: the service that commands use, and the credentials for it.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use etcetera::BaseStrategy;
use images::error::{Coded, Error};
use serde::{Deserialize, Serialize};

/// The content of the file, which `goldsmith login` writes with mode 0600.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    /// `https://host:port`, without a trailing slash.
    pub(crate) url: String,
    pub(crate) tenant_id: String,
    pub(crate) subscription_id: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    /// The certificate authority of the service (PEM); by default the public authorities.
    pub(crate) ca: Option<String>,
}

impl Login {
    /// The login of the current user.
    pub(crate) fn load() -> Result<Self, Error> {
        let path = path()?;
        let text = fs::read(&path).map_err(|e| {
            Error::new(ErrorCode::InvalidArgument, "not logged in to a goldsmith service")
                .hint(
                    "goldsmith login --server https://HOST:PORT --tenant ID --client-id ID \
                     --client-secret SECRET --ca FILE",
                )
                .caused_by(e)
        })?;
        serde_json::from_slice(&text).code(ErrorCode::InvalidArgument, || {
            format!("{} is damaged; log in again", path.display())
        })
    }

    /// Replaces the login of the current user. Returns the path of the file.
    pub(crate) fn save(&self) -> Result<PathBuf, Error> {
        let path = path()?;
        let failed = || format!("cannot write {}", path.display());
        let text = serde_json::to_vec_pretty(self).code(ErrorCode::InternalError, failed)?;
        write_private(&path, &text).code(ErrorCode::InternalError, failed)?;
        Ok(path)
    }
}

/// Writes to a temporary file and renames it, so that a login is never incomplete.
fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let partial = path.with_extension(format!("{}.tmp", std::process::id()));
    let _ = fs::remove_file(&partial);
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

fn path() -> Result<PathBuf, Error> {
    let base = etcetera::choose_base_strategy()
        .code(ErrorCode::HostNotReady, || "this user has no home folder".to_owned())?;
    Ok(base.config_dir().join("goldsmith").join("login.json"))
}
