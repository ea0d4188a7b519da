//! `login.json`: the service that commands speak to, and in whose name.

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

/// What `goldsmith login` found out and keeps. The file is readable by its owner alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    /// `https://host:port`, without a slash at the end.
    pub(crate) url: String,
    pub(crate) tenant_id: String,
    pub(crate) subscription_id: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    /// PEM of the authority that signed the service's certificate; the public ones if absent.
    pub(crate) ca: Option<String>,
}

impl Login {
    /// The login of the current user.
    pub(crate) fn load() -> Result<Self, Error> {
        let path = path()?;
        let text = fs::read(&path).map_err(|e| {
            Error::new(ErrorCode::InvalidArgument, "there is no login to a goldsmith service")
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

    /// Replaces the login of the current user; returns where it is kept.
    pub(crate) fn save(&self) -> Result<PathBuf, Error> {
        let path = path()?;
        let failed = || format!("cannot write {}", path.display());
        let text = serde_json::to_vec_pretty(self).code(ErrorCode::InternalError, failed)?;
        write_private(&path, &text).code(ErrorCode::InternalError, failed)?;
        Ok(path)
    }
}

/// Appears by rename, so that a login is never half there.
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
        .code(ErrorCode::HostNotReady, || "there is no home folder".to_owned())?;
    Ok(base.config_dir().join("goldsmith").join("login.json"))
}
