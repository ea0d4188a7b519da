//! What the first boot of a machine is made of, as far as it is the same for every machine: its user, what it waits for,
//! and what its key covers.

use std::collections::BTreeMap;

use images::{config::Subnet, digest::digest};
use sources::SourceImage;
use vm::seed;

use super::data_disks;
use crate::node::Shape;

/// The unprivileged user that customizers run as.
pub(super) const BUILD_USER: &str = "goldsmith";

/// Waits until the first boot is over, so that nothing of it is in the way of the first step. With
/// systemd, cloud-init is part of it: asking cloud-init itself costs seconds of Python under
/// emulation. Images with neither are content with an answer over SSH.
///
/// The package manager's own timers stand still in this boot: after a resume the clock jumps, they
/// would all fire at once and hold its lock against the customizers.
///
/// What one customizer puts into /tmp the next one uses (AIB's samples all do), also when the machine
/// was booted from the node between them: the rule that empties /tmp at boot is masked until the
/// image is generalized.
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

/// Version of how a machine is on a bridge, beside what its arguments say.
const BRIDGE_VERSION: &str = "1";

/// What the key of the first boot covers, beside source and machine.
pub(super) fn inputs(source: &SourceImage, shape: &Shape) -> BTreeMap<String, String> {
    let mut inputs = BTreeMap::from([
        ("network".to_owned(), who_sets_up(source).to_owned()),
        ("ready".to_owned(), digest(BOOTED.as_bytes())),
        ("seed".to_owned(), seed::VERSION.to_string()),
        ("user".to_owned(), BUILD_USER.to_owned()),
    ]);
    inputs.extend(data_disks::inputs(shape));
    inputs
}

/// Who sets up the guest's network card.
fn who_sets_up(source: &SourceImage) -> &'static str {
    if source.brings_network { "image" } else { "cloud-init" }
}

/// What the key of the first boot covers on a port of a bridge.
pub(super) fn port_inputs(inputs: &mut BTreeMap<String, String>, subnet: &Subnet, port: u32) {
    let more = [
        ("subnet", subnet.id.to_lowercase()),
        ("bridge", format!("{} {BRIDGE_VERSION}", subnet.bridge)),
        ("port", port.to_string()),
    ];
    inputs.extend(more.map(|(name, value)| (name.to_owned(), value)));
}
