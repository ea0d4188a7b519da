//! Tap devices, which attach machines to a bridge of this host.
//!
//! A tap is a port of the bridge whose other end QEMU holds. It is created before QEMU starts and
//! outlives it; the caller that chose its name removes it. The bridge belongs to the administrator:
//! goldsmith inspects it and never changes it.
//!
//! `ip` does the work, because safe Rust has no access to the kernel's interface.

use std::{fs, io, time::Duration};

use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};
use tokio_util::sync::CancellationToken;

use crate::{
    may_wait,
    proc::{self, Command, find_program},
};

const DEADLINE: Duration = Duration::from_secs(10);
const TUN: &str = "/dev/net/tun";
/// The kernel's bit for the capability to create network devices.
const CAP_NET_ADMIN: u64 = 1 << 12;

/// A machine's port on a bridge of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The bridge device, which must exist.
    pub name: String,
    /// The tap device to create for the machine (see [`create`]). The caller removes it.
    pub tap: String,
    /// The MAC address of the guest on that network, as `02:00:00:00:00:00`.
    pub mac: String,
}

/// The reason why a machine cannot be attached to a bridge of this host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The `ip` program is missing.
    #[error("ip is not installed; goldsmith needs it to attach machines to a bridge")]
    NoProgram,
    /// The device does not exist.
    #[error("this host has no network device {name}")]
    NoBridge {
        /// The requested name.
        name: String,
    },
    /// The device is not a bridge.
    #[error("the network device {name} is not a bridge")]
    NotABridge {
        /// The requested name.
        name: String,
    },
    /// The process lacks the capability.
    #[error("this process cannot create network devices: it lacks CAP_NET_ADMIN")]
    NoCapability,
    /// The device for taps cannot be opened.
    #[error("cannot open {TUN}")]
    NoTun(#[source] io::Error),
    /// `ip` failed.
    #[error("cannot create or remove a port of a bridge")]
    Failed(#[source] proc::Error),
}

impl Error {
    /// The command or the advice that fixes the problem.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoProgram => "apt-get install iproute2",
            Self::NoBridge { .. } => {
                "create the bridge (ip link add NAME type bridge), or name another one in goldsmith.toml"
            }
            Self::NotABridge { .. } => "name a bridge in goldsmith.toml: ip link show type bridge",
            Self::NoCapability => {
                "run as root, or with CAP_NET_ADMIN (in a systemd unit: AmbientCapabilities=CAP_NET_ADMIN)"
            }
            Self::NoTun(_) => {
                "modprobe tun; without root, all users need access: chmod 666 /dev/net/tun"
            }
            Self::Failed(_) => "goldsmith doctor",
        }
    }
}

/// Checks that machines can be attached to that bridge.
///
/// # Errors
/// The first obstacle.
pub async fn check(bridge: &str) -> Result<(), Error> {
    if find_program("ip").is_none() {
        return Err(Error::NoProgram);
    }
    if !exists(bridge) {
        return Err(Error::NoBridge { name: bridge.to_owned() });
    }
    let bridges = ip(&["-o", "link", "show", "dev", bridge, "type", "bridge"]).await?;
    if bridges.trim().is_empty() {
        return Err(Error::NotABridge { name: bridge.to_owned() });
    }
    let status = may_wait(|| fs::read_to_string("/proc/self/status")).unwrap_or_default();
    if !can_create_devices(&status) {
        return Err(Error::NoCapability);
    }
    may_wait(|| fs::OpenOptions::new().read(true).write(true).open(TUN))
        .map(drop)
        .map_err(Error::NoTun)
}

/// Whether this host has a network device of that name.
pub fn exists(device: &str) -> bool {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None);
    any.is_ok_and(|socket| name_to_index(socket, device).is_ok())
}

/// Removes a tap. Succeeds if it does not exist.
///
/// # Errors
/// `Failed`, `NoProgram`.
pub async fn remove(tap: &str) -> Result<(), Error> {
    if !exists(tap) {
        return Ok(());
    }
    match ip(&["link", "delete", "dev", tap]).await {
        Err(_) if !exists(tap) => Ok(()),
        other => other.map(drop),
    }
}

/// Creates the tap, unless it exists, and attaches it to the bridge.
pub(crate) async fn create(bridge: &Bridge) -> Result<(), Error> {
    check(&bridge.name).await?;
    let (tap, owner) = (bridge.tap.as_str(), rustix::process::geteuid().as_raw().to_string());
    if !exists(tap) {
        ip(&["tuntap", "add", "dev", tap, "mode", "tap", "user", &owner]).await?;
    }
    // A bridge adopts the lowest MAC address of its ports; a high one leaves the bridge's unchanged.
    let address = format!("fe{}", bridge.mac.get(2..).unwrap_or_default());
    // The host does not use the port, so it gets no address there.
    ip(&["link", "set", "dev", tap, "address", &address, "addrgenmode", "none"]).await?;
    ip(&["link", "set", "dev", tap, "master", &bridge.name, "up"]).await.map(drop)
}

async fn ip(arguments: &[&str]) -> Result<String, Error> {
    // Not cancelable: the command is short, and its effect must be known.
    let never = CancellationToken::new();
    match Command::new("ip").args(arguments).run(&never, Some(DEADLINE)).await {
        Ok(output) => Ok(output.stdout),
        Err(proc::Error::NotFound { .. }) => Err(Error::NoProgram),
        Err(error) => Err(Error::Failed(error)),
    }
}

fn can_create_devices(status: &str) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set & CAP_NET_ADMIN != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capability_is_read_from_effective_set() {
        assert!(can_create_devices("Name:\tx\nCapEff:\t0000000000001000\n"));
        assert!(can_create_devices("CapEff:\t000001ffffffffff\n"));
        assert!(!can_create_devices("CapPrm:\t0000000000001000\nCapEff:\t0000000000000000\n"));
        assert!(!can_create_devices(""));
    }

    #[tokio::test]
    async fn check_distinguishes_missing_device_from_other_kind() {
        assert!(exists("lo") && !exists("gs-no-such"));
        let message = |error: Error| format!("{error}; {}", error.remedy());
        let missing = message(check("gs-no-such").await.unwrap_err());
        assert!(missing.contains("gs-no-such") && missing.contains("ip link add"), "{missing}");
        let other = message(check("lo").await.unwrap_err());
        assert!(other.contains("lo is not a bridge"), "{other}");
    }

    #[tokio::test]
    async fn removing_a_missing_tap_succeeds() {
        remove("gs-no-such").await.unwrap();
    }
}
