//! The parts of a first boot that are the same for every machine: its user, the end of the boot,
//! and the content of its key.

use std::{collections::BTreeMap, time::Duration};

use images::{config::Subnet, digest::digest, error::Result};
use vm::{Guest, Stdin, credentials, seed};

use super::{Run, data_disks, seeding::Seeding};
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
    systemctl --no-block stop apt-daily.timer apt-daily-upgrade.timer dnf-makecache.timer 2> /dev/null &
    systemctl is-system-running --wait > /dev/null
    wait
elif command -v cloud-init > /dev/null; then
    cloud-init status --wait > /dev/null
fi
mkdir -p /etc/tmpfiles.d
test -e /etc/tmpfiles.d/tmp.conf ||
    echo "# by goldsmith: /tmp outlives a boot during the build" > /etc/tmpfiles.d/tmp.conf'"##;

/// As [`BOOTED`], for a machine that is only examined: writes nothing to its disk.
pub(super) const SETTLED: &str = r##"sudo sh -c '
if command -v systemctl > /dev/null; then
    systemctl --no-block stop apt-daily.timer apt-daily-upgrade.timer dnf-makecache.timer 2> /dev/null &
    systemctl is-system-running --wait > /dev/null
    wait
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
            format!("none {}", digest(STAND_IN.as_bytes()))
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

const STAND_IN: &str = include_str!("stand_in.sh");
const STAND_IN_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Does in the guest what a build needs of cloud-init, where cloud-init does not run: grows the root
/// file system if its disk is larger than the source's, and names the disk that updates of a boot
/// loader for BIOS are for.
pub(super) async fn stand_in(
    run: &Run<'_>,
    guest: &dyn Guest,
    shape: &Shape,
    is_larger: bool,
) -> Result<()> {
    if shape.uefi && !is_larger {
        return Ok(());
    }
    let command = format!("sudo sh -c \"$(cat)\" stand-in {is_larger}");
    let stdin = Stdin::Bytes(STAND_IN.as_bytes());
    let what = "cloud-init's work";
    let exit = run_within(guest, what, &command, stdin, STAND_IN_LIMIT).await?;
    if !exit.success() {
        run.cx.events.warn(format!(
            "what cloud-init would have done {exit}: the root file system may have the source's size"
        ));
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
