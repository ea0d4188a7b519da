//! Checks the free space before something large is written.

use std::path::Path;

use api::ErrorCode;

use crate::error::{Coded, Error, NO_ROOM, Result};

/// Bytes that an unprivileged process may still write to the file system of `path`.
///
/// # Errors
/// `InternalError`: the file system does not report its free space.
pub fn free(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path)
        .code(ErrorCode::InternalError, || format!("how much is free in {}", path.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Fails if `free` bytes are certainly too few for `need`.
///
/// # Errors
/// `DiskFull`.
pub fn check(need: u64, free: u64, dir: &Path) -> Result<()> {
    if free >= need {
        return Ok(());
    }
    Err(full(need, Some(free), dir))
}

/// The error for a disk that is full or would be.
pub fn full(need: u64, free: Option<u64>, dir: &Path) -> Error {
    let free = free.map_or_else(String::new, |free| format!(", {} is free", human(free)));
    let text = format!("no room in {}: about {} is needed{free}", dir.display(), human(need));
    Error::new(ErrorCode::DiskFull, text).target(dir.display().to_string()).hint(NO_ROOM)
}

/// A size for display.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_states_needed_and_free_space() {
        let error = check(3 << 30, 5 << 20, Path::new("/images")).unwrap_err();
        assert_eq!(error.code, ErrorCode::DiskFull);
        assert_eq!(error.message, "no room in /images: about 3.0 GiB is needed, 5.0 MiB is free");
        check(5, 5, Path::new("/images")).unwrap();
    }

    #[test]
    fn human_rounds_sizes() {
        assert_eq!(human(0), "0 bytes");
        assert_eq!(human(1023), "1023 bytes");
        assert_eq!(human(1536), "1.5 KiB");
        assert_eq!(human(5 << 40), "5.0 TiB");
        assert_eq!(human(1 << 52), "4096.0 TiB");
    }
}
