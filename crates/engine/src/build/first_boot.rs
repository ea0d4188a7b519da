//! The parts of a first boot that are the same for every machine: its user, the end of the boot,
//! and the content of its key.

use std::{collections::BTreeMap, time::Duration};

use images::{config::Subnet, digest::digest, error::Result};
use vm::{Guest, Stdin, credentials, seed};

use super::{Run, contact::Seeding, data_disks};
use crate::{command::run_within, node::Shape};

/// The unprivileged user that customizers run as.
pub(super) const BUILD_USER: &str = "goldsmith";

/// Waits until the first boot is over, so that it does not interfere with the first step. With
/// systemd, this includes cloud-init: running cloud-init's own command costs seconds of Python
/// under emulation. For images with neither, an answer over SSH is enough.
///
/// The package manager's own timers are stopped in this boot: after a resume the clock jumps, so
/// that they would all fire at once and hold its lock against the customizers.
///
/// A customizer may use the files that the previous one put into /tmp (all of AIB's samples do),
/// even if the machine was booted from the node between them. So the rule that empties /tmp at boot
/// is masked until the image is generalized.
pub(super) const BOOTED: &str = r##"sudo sh -c '
if command -v systemctl > /dev/null; then
    systemctl is-system-running --wait > /dev/null
    systemctl stop apt-daily.timer apt-daily-upgrade.timer dnf-makecache.timer 2> /dev/null
elif command -v cloud-init > /dev/null; then
    cloud-init status --wait > /dev/null
fi
mkdir -p /etc/tmpfiles.d
test -e /etc/tmpfiles.d/tmp.conf ||
    echo "# by goldsmith: /tmp outlives a boot during the build" > /etc/tmpfiles.d/tmp.conf'"##;

/// As [`BOOTED`], for a machine that is only examined: writes nothing to its disk.
pub(super) const SETTLED: &str = r##"sudo sh -c '
if command -v systemctl > /dev/null; then
    systemctl is-system-running --wait > /dev/null
    systemctl stop apt-daily.timer apt-daily-upgrade.timer dnf-makecache.timer 2> /dev/null || true
elif command -v cloud-init > /dev/null; then
    cloud-init status --wait > /dev/null
fi'"##;

/// Version of a machine's setup on a bridge, apart from its arguments.
const BRIDGE_VERSION: &str = "1";

/// The inputs of the first boot's key, beside source and machine.
pub(super) fn inputs(seeding: &Seeding, shape: &Shape) -> BTreeMap<String, String> {
    let seed = match seeding {
        Seeding::User { network: true } => format!("{} network", seed::VERSION),
        Seeding::User { network: false } => seed::VERSION.to_string(),
        Seeding::Nothing | Seeding::Plain | Seeding::Known(_) => {
            format!("none {}", digest(GROW.as_bytes()))
        }
    };
    let mut inputs = BTreeMap::from([
        ("credentials".to_owned(), credentials::VERSION.to_string()),
        ("ready".to_owned(), digest(BOOTED.as_bytes())),
        ("seed".to_owned(), seed),
        ("user".to_owned(), BUILD_USER.to_owned()),
    ]);
    inputs.extend(data_disks::inputs(shape));
    inputs
}

const GROW: &str = include_str!("grow.sh");
const GROW_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Grows the root file system to the size of its disk, in a guest where cloud-init does not run.
pub(super) async fn grow(run: &Run<'_>, guest: &dyn Guest) -> Result<()> {
    let command = "sudo sh -c \"$(cat)\" grow";
    let stdin = Stdin::Bytes(GROW.as_bytes());
    let exit =
        run_within(guest, "growing the root file system", command, stdin, GROW_LIMIT).await?;
    if !exit.success() {
        run.cx
            .events
            .warn(format!("growing the root file system {exit}; it has the source's size"));
    }
    Ok(())
}

/// Adds the inputs of the first boot's key on a port of a bridge.
pub(super) fn port_inputs(inputs: &mut BTreeMap<String, String>, subnet: &Subnet, port: u32) {
    let more = [
        ("subnet", subnet.id.to_lowercase()),
        ("bridge", format!("{} {BRIDGE_VERSION}", subnet.bridge)),
        ("port", port.to_string()),
    ];
    inputs.extend(more.map(|(name, value)| (name.to_owned(), value)));
}
