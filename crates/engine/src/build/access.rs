//! `access.json`: the credentials for the guest of a booted node, readable by its owner only.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use api::ErrorCode;
use images::error::{Coded, Result};
use vm::{Access, may_wait};

pub(super) fn write(path: &Path, access: &Access) -> Result<()> {
    let text = serde_json::to_vec(access).code(ErrorCode::InternalError, || at(path))?;
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
    may_wait(|| {
        let text = fs::read(path).code(ErrorCode::InternalError, || at(path))?;
        serde_json::from_slice(&text).code(ErrorCode::InternalError, || at(path))
    })
}

fn at(path: &Path) -> String {
    format!("cannot use {}", path.display())
}
