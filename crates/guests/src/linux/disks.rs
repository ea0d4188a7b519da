//! The disks of a guest: their names, and what must be on them before they are sealed.

use std::time::Duration;

use images::{digest::digest, error::Result};
use vm::{Exit, Guest, Stdin};

use crate::{command::run_within, system::Synced};

/// Writes everything to the disk, and fails in a guest that is shutting down, since its state
/// cannot be resumed.
const SYNC: &str = r#"sync & state=$(systemctl is-system-running 2> /dev/null); wait; test "$state" != stopping || exit 75"#;
const STOPPING: u32 = 75;
/// Covers everything that a step wrote; a slow disk of the host may take long.
const SYNC_LIMIT: Duration = Duration::from_secs(30 * 60);

/// `udevadm settle` waits for a minute at most.
const NAME_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Gives each disk its name in Azure, below `/dev/disk/azure/scsi1`, until the guest shuts down:
/// the rules are not in the image.
const NAME: &str = "sudo sh -c '
command -v udevadm > /dev/null || exit 0
mkdir -p /run/udev/rules.d
cat > /run/udev/rules.d/66-goldsmith-data-disks.rules
udevadm control --reload
udevadm trigger --subsystem-match=block
udevadm settle --timeout=60'";

fn rules(disks: usize) -> String {
    let rule = |lun: usize, kind: &str, link: &str| {
        format!(
            "SUBSYSTEM==\"block\", ENV{{DEVTYPE}}==\"{kind}\", KERNELS==\"*:0:0:{lun}\", \
             ATTRS{{vendor}}==\"QEMU*\", SYMLINK+=\"disk/azure/scsi1/lun{lun}{link}\"\n"
        )
    };
    let both = |lun| rule(lun, "disk", "") + &rule(lun, "partition", "-part%n");
    (0..disks).map(both).collect()
}

/// The digest of all of it for that many disks.
pub(super) fn input(disks: usize) -> String {
    digest(format!("{NAME}\n{}", rules(disks)).as_bytes())
}

pub(super) async fn name(guest: &dyn Guest, disks: usize) -> Result<Exit> {
    let rules = rules(disks);
    let stdin = Stdin::Bytes(rules.as_bytes());
    run_within(guest, "naming the data disks", NAME, stdin, NAME_LIMIT).await
}

pub(super) async fn sync(guest: &dyn Guest) -> Result<Synced> {
    let exit = run_within(guest, "sync", SYNC, Stdin::Empty, SYNC_LIMIT).await?;
    Ok(match exit.code {
        Some(0) => Synced::Done,
        Some(STOPPING) => Synced::Stopping,
        _ => Synced::Failed(exit),
    })
}
