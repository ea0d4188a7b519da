//! Verifies a backup: reads all files and compares them with the manifest.

use std::{io, path::Path};

use engine::may_wait;
use images::error::Result;

use super::{DATA, DATABASE, Manifest, blocking, measure};

/// The faults of a backup, one line each.
///
/// # Errors
/// The folder is not a finished backup.
pub async fn verify(backup: &Path) -> Result<(Manifest, Vec<String>)> {
    let manifest = may_wait(|| Manifest::read(backup))?;
    let (backup, own) = (backup.to_owned(), manifest.clone());
    let faults = blocking("read the backup", move || Ok(faults(&backup, &own))).await?;
    Ok((manifest, faults))
}

fn faults(backup: &Path, manifest: &Manifest) -> Vec<String> {
    let mut faults = Vec::new();
    let mut compare = |path: &Path, bytes: Option<u64>, sha256: &str| {
        let name = path.strip_prefix(backup).unwrap_or(path).display();
        match measure(path) {
            Ok((size, _)) if bytes.is_some_and(|bytes| bytes != size) => {
                faults.push(format!("{name}: {size} bytes instead of {}", bytes.unwrap_or(0)));
            }
            Ok((_, digest)) if digest != sha256 => {
                faults.push(format!("{name}: SHA-256 {digest} instead of {sha256}"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                faults.push(format!("{name}: missing"));
            }
            Err(error) => faults.push(format!("{name}: {error}")),
        }
    };
    compare(&backup.join(DATABASE), None, &manifest.database_sha256);
    for entry in &manifest.files {
        compare(&backup.join(DATA).join(&entry.path), Some(entry.bytes), &entry.sha256);
    }
    faults
}
