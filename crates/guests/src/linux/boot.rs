//! The boot of a guest, and its waking up from saved RAM.

use std::time::Duration;

use images::error::{Result, guest_error};
use vm::{Discard, Exit, Guest, Stdin};

use crate::{
    command::run_within,
    system::{FirstBoot, Resumed},
};

/// Stops timers and waits until the boot is over.
///
/// These timers run the package manager, and daily and weekly tasks that write to the image: backups of
/// dpkg's lists, rotated logs, indexes of manual pages and paths. Otherwise images would differ when a
/// build runs at midnight. After a resume the clock jumps, so they would all run at once, and the package
/// manager's lock would be held against the customizers. A timer that the guest does not have changes
/// nothing.
macro_rules! settle {
    () => {
        r##"
if command -v systemctl > /dev/null; then
    systemctl --no-block stop apt-daily.timer apt-daily-upgrade.timer dnf-makecache.timer \
        dpkg-db-backup.timer logrotate.timer man-db.timer man-db-cache-update.timer \
        mlocate-updatedb.timer plocate-updatedb.timer updatedb.timer \
        motd-news.timer fwupd-refresh.timer 2> /dev/null &
    systemctl is-system-running --wait > /dev/null
    wait
elif command -v cloud-init > /dev/null; then
    cloud-init status --wait > /dev/null
fi"##
    };
}

/// Waits until the first boot is over, so that it does not interfere with the first step. With
/// systemd, this includes cloud-init: running cloud-init's own command costs seconds of Python
/// under emulation. For images with neither, an answer over SSH is enough.
///
/// A customizer may use the files that the previous one put into /tmp (all of AIB's samples do),
/// even if the machine was booted from the node between them. So the rule that empties /tmp at boot
/// is masked until the image is generalized.
pub(super) const BOOTED: &str = concat!(
    "sudo sh -c '",
    settle!(),
    r##"
mkdir -p /etc/tmpfiles.d
test -e /etc/tmpfiles.d/tmp.conf ||
    echo "# by goldsmith: /tmp outlives a boot during the build" > /etc/tmpfiles.d/tmp.conf'"##
);

/// As [`BOOTED`], for a machine that is only examined: writes nothing to its disk.
const SETTLED: &str = concat!("sudo sh -c '", settle!(), "'");

pub(super) const STAND_IN: &str = include_str!("stand_in.sh");
const STAND_IN_LIMIT: Duration = Duration::from_secs(5 * 60);

/// After a resume the clock shows the time of the seal, and two resumes of the same node would have
/// the same random numbers. Both are corrected before any other command runs.
const RESUMED: &str =
    "sudo sh -c 'read -r seed; echo $seed > /dev/urandom; exec date -s @'$now' > /dev/null'";

pub(super) async fn ended(guest: &dyn Guest, is_examined: bool) -> Result<Exit> {
    let command = if is_examined { SETTLED } else { BOOTED };
    guest.run(command, Stdin::Empty, &mut Discard).await.map_err(guest_error)
}

pub(super) async fn resumed(guest: &dyn Guest, resumed: Resumed<'_>) -> Result<Exit> {
    let command = RESUMED.replace("'$now'", &resumed.now.to_string());
    let mut line: String = resumed.entropy.iter().map(|byte| format!("{byte:02x}")).collect();
    line.push('\n');
    let stdin = Stdin::Bytes(line.as_bytes());
    guest.run(&command, stdin, &mut Discard).await.map_err(guest_error)
}

/// Does in the guest what a build needs of cloud-init, where cloud-init does not run: grows the root
/// file system if its disk is larger than the source's, and names the disk that updates of a boot
/// loader for BIOS are for.
pub(super) async fn prepare(guest: &dyn Guest, first: FirstBoot) -> Result<Exit> {
    let FirstBoot { uefi, is_larger, is_seeded } = first;
    if is_seeded || (uefi && !is_larger) {
        return Ok(Exit { code: Some(0), signal: None });
    }
    let command = format!("sudo sh -c \"$(cat)\" stand-in {is_larger}");
    let stdin = Stdin::Bytes(STAND_IN.as_bytes());
    run_within(guest, "cloud-init's work", &command, stdin, STAND_IN_LIMIT).await
}
