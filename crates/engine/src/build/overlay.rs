//! Overlays on the disks of nodes and sources.

use std::path::Path;

use images::error::{Result, machine_error};
use vm::{Host, disk};

/// Creates an overlay `name` in `work` on the file with the same name in `below`.
pub(super) async fn overlay(
    host: &Host,
    work: &Path,
    below: &Path,
    name: &str,
    bytes: u64,
) -> Result<()> {
    disk::create_overlay(host, &work.join(name), &below.join(name), bytes)
        .await
        .map_err(|e| machine_error(e.into()))
}
