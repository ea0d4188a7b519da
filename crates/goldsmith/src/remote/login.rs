//! `login.json`: the service that commands use, and the credentials for it.

use std::{fs, path::PathBuf};

use api::ErrorCode;
use etcetera::BaseStrategy;
use images::{
    error::{Coded, Error},
    files,
};
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
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder
            .and_then(|()| files::write_secret(&path, &text))
            .code(ErrorCode::InternalError, failed)?;
        Ok(path)
    }

    /// The folder of goldsmith's settings of the current user.
    pub(crate) fn folder() -> Result<PathBuf, Error> {
        let base = etcetera::choose_base_strategy()
            .code(ErrorCode::HostNotReady, || "this user has no home folder".to_owned())?;
        Ok(base.config_dir().join("goldsmith"))
    }

    /// Whether the service is on this machine's loopback.
    pub(crate) fn is_loopback(&self) -> bool {
        reqwest::Url::parse(&self.url).is_ok_and(|url| is_loopback(&url))
    }
}

fn path() -> Result<PathBuf, Error> {
    Ok(Login::folder()?.join("login.json"))
}

/// Whether the address is this machine's loopback, by name or by number.
pub(super) fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}
