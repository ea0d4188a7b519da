//! Tap devices: how a machine gets onto a bridge of this host.
//!
//! A tap is a port of the bridge that QEMU holds the other end of. It is made before QEMU starts and
//! outlives it; whoever named it removes it. The bridge itself is the administrator's: it is looked
//! at and never changed.
//!
//! `ip` does the work, as the kernel's own interface is out of reach of safe Rust.

use std::{fs, io, time::Duration};

use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};
use tokio_util::sync::CancellationToken;

use crate::{
    Bridge, may_wait,
    proc::{self, Command, find_program},
};

const DEADLINE: Duration = Duration::from_secs(10);
const TUN: &str = "/dev/net/tun";
/// The bit of the right to make network devices, in the kernel's numbering.
const CAP_NET_ADMIN: u64 = 1 << 12;

/// Why a machine cannot be put on a bridge of this host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is missing.
    #[error("ip is not installed, and machines are put on a bridge with it")]
    NoProgram,
    /// There is no such device.
    #[error("this host has no network device {name}")]
    NoBridge {
        /// As it was asked for.
        name: String,
    },
    /// There is one, of another kind.
    #[error("the network device {name} is not a bridge")]
    NotABridge {
        /// As it was asked for.
        name: String,
    },
    /// We may not make devices.
    #[error("this process may not make network devices: it has no CAP_NET_ADMIN")]
    NoRight,
    /// Tap devices cannot be had.
    #[error("{TUN} does not open")]
    NoTun(#[source] io::Error),
    /// `ip` failed.
    #[error("a port on a bridge could not be made or removed")]
    Failed(#[source] proc::Error),
}

impl Error {
    /// What mends it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoProgram => "apt-get install iproute2",
            Self::NoBridge { .. } => {
                "make the bridge (ip link add NAME type bridge), or name another one in goldsmith.toml"
            }
            Self::NotABridge { .. } => "name a bridge in goldsmith.toml: ip link show type bridge",
            Self::NoRight => {
                "run as root, or with CAP_NET_ADMIN (in a systemd unit: AmbientCapabilities=CAP_NET_ADMIN)"
            }
            Self::NoTun(_) => {
                "modprobe tun; without root it must be open to all: chmod 666 /dev/net/tun"
            }
            Self::Failed(_) => "goldsmith doctor",
        }
    }
}

/// Whether machines can be put on that bridge.
///
/// # Errors
/// Why not; the first reason.
pub async fn check(bridge: &str) -> Result<(), Error> {
    if find_program("ip").is_none() {
        return Err(Error::NoProgram);
    }
    if !exists(bridge) {
        return Err(Error::NoBridge { name: bridge.to_owned() });
    }
    let found = ip(&["-o", "link", "show", "dev", bridge, "type", "bridge"]).await?;
    if found.trim().is_empty() {
        return Err(Error::NotABridge { name: bridge.to_owned() });
    }
    let status = may_wait(|| fs::read_to_string("/proc/self/status")).unwrap_or_default();
    if !may_make_devices(&status) {
        return Err(Error::NoRight);
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

/// Removes a tap. "Not there" is success.
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

/// Makes the tap and plugs it into the bridge; one that is there already is taken as it is.
pub(crate) async fn make(bridge: &Bridge) -> Result<(), Error> {
    check(&bridge.name).await?;
    let (tap, owner) = (bridge.tap.as_str(), rustix::process::geteuid().as_raw().to_string());
    if !exists(tap) {
        ip(&["tuntap", "add", "dev", tap, "mode", "tap", "user", &owner]).await?;
    }
    // A bridge takes on the lowest address of its ports: with a high one the tap leaves it alone.
    let address = format!("fe{}", bridge.mac.get(2..).unwrap_or_default());
    // The host itself has no business on the port, so it gets no address there.
    ip(&["link", "set", "dev", tap, "address", &address, "addrgenmode", "none"]).await?;
    ip(&["link", "set", "dev", tap, "master", &bridge.name, "up"]).await.map(drop)
}

async fn ip(arguments: &[&str]) -> Result<String, Error> {
    // Never given up in the middle: what is made is short, and must be known to be there or not.
    let never = CancellationToken::new();
    match Command::new("ip").args(arguments).run(&never, Some(DEADLINE)).await {
        Ok(output) => Ok(output.stdout),
        Err(proc::Error::NotFound { .. }) => Err(Error::NoProgram),
        Err(error) => Err(Error::Failed(error)),
    }
}

fn may_make_devices(status: &str) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set & CAP_NET_ADMIN != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_is_one_bit() {
        assert!(may_make_devices("Name:\tx\nCapEff:\t0000000000001000\n"));
        assert!(may_make_devices("CapEff:\t000001ffffffffff\n"));
        assert!(!may_make_devices("CapPrm:\t0000000000001000\nCapEff:\t0000000000000000\n"));
        assert!(!may_make_devices(""));
    }

    #[tokio::test]
    async fn what_is_no_bridge_is_told_apart_from_what_is_not_there() {
        assert!(exists("lo") && !exists("gs-no-such"));
        let said = |error: Error| format!("{error}; {}", error.remedy());
        let missing = said(check("gs-no-such").await.unwrap_err());
        assert!(missing.contains("gs-no-such") && missing.contains("ip link add"), "{missing}");
        let other = said(check("lo").await.unwrap_err());
        assert!(other.contains("lo is not a bridge"), "{other}");
    }

    #[tokio::test]
    async fn removing_what_is_not_there_is_success() {
        remove("gs-no-such").await.unwrap();
    }
}
