//! `access.json`: the credentials for the guest of a booted node, readable by its owner only.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use api::ErrorCode;
use images::{
    error::{Coded, Result},
    first_contact::{FirstContact, LoginFile},
};
use serde::{Deserialize, Serialize};
use vm::{Access, Door, WindowsAccess, may_wait};

/// The content of the file. The password of an account that is not goldsmith's is not in it.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    access: Access,
    /// Where that account's login is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login: Option<LoginFile>,
}

/// The credentials for a new machine of an image.
pub(super) fn of_image(os: vm::OsType, image: &FirstContact) -> Result<Access> {
    let access = guests::system(os).new_access()?;
    match image {
        FirstContact::Specialized(login) => with_login(access, login),
        _ => Ok(access),
    }
}

fn with_login(access: Access, login: &LoginFile) -> Result<Access> {
    let login = login.read()?;
    let windows =
        WindowsAccess { password: login.password, certificate: None, door: Door::WinrmHttp };
    Ok(Access { user: login.user, windows: Some(windows), ..access })
}

pub(super) fn write(path: &Path, access: &Access, image: &FirstContact) -> Result<()> {
    let mut access = access.clone();
    let login = match image {
        FirstContact::Specialized(login) => Some(login.clone()),
        _ => None,
    };
    if let (Some(_), Some(windows)) = (&login, &mut access.windows) {
        windows.password = String::new();
    }
    let stored = Stored { access, login };
    let text = serde_json::to_vec(&stored).code(ErrorCode::InternalError, || at(path))?;
    write_secret(path, &text)
}

/// Creates a file that only its owner can read.
pub(super) fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .code(ErrorCode::InternalError, || at(path))
}

pub(super) fn read(path: &Path) -> Result<Access> {
    let stored: Stored = may_wait(|| {
        let text = fs::read(path).code(ErrorCode::InternalError, || at(path))?;
        serde_json::from_slice(&text).code(ErrorCode::InternalError, || at(path))
    })?;
    match &stored.login {
        Some(login) => with_login(stored.access, login),
        None => Ok(stored.access),
    }
}

fn at(path: &Path) -> String {
    format!("cannot use {}", path.display())
}
