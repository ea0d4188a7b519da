//! The machine's network: one of its own, or the bridge that a subnet is bound to.
//!
//! On a bridge a machine has a *port*: a MAC address, a tap device of this host, and a chain of
//! nodes of its own. A guest that is resumed, or booted from a node, is the same machine as before:
//! same MAC address, same machine id, by which DHCP servers recognize it. So two of them must not
//! be on one network at once. The nodes of port 0 are reused first. A build that finds it in use
//! takes port 1, boots there for itself, and so on. A network thus sees a few recurring addresses,
//! not a new one for each build.
//!
//! A port is in use while a run holds its lock, or while its tap exists: a machine that is retained
//! for its user no longer has a run.

use api::{ErrorCode, ResourceId};
use guests::At;
use images::{
    absent::or_none,
    config::{Config, Subnet},
    digest::{Key, digest},
    error::{Coded, Error, Result, machine_error},
    files::partial::{Existing, Partial},
    layout::Layout,
    ledger::Releasable,
    lock::Lock,
};
use sources::SourceImage;
use std::{fs, io, time::Duration};
use vm::{Bridge, OsType, tap};

use super::{Chain, Run, plan::Plan, power::unless_gone};
use crate::{tap_name, template::Template};

/// The template's field for a subnet.
pub const SUBNET_FIELD: &str = "properties.vmProfile.vnetConfig.subnetId";

/// More concurrent builds on one subnet than any host can run.
const PORTS: u32 = 256;
/// How long a guest may wait for an address. DHCP servers answer within a second, but bridges with
/// a spanning tree block all traffic for half a minute.
const ADDRESS: Duration = Duration::from_secs(90);

/// A port on a bridge that belongs to this run alone.
#[derive(Debug)]
pub(crate) struct Port {
    bridge: Bridge,
    _in_use: Lock,
}

/// The template's subnet, and the bridge that it is bound to.
///
/// # Errors
/// `ValidationFailed` with the lines that bind it; `InvalidArgument` for a faulty `goldsmith.toml`.
pub(super) fn subnet(layout: &Layout, template: &Template) -> Result<Option<Subnet>> {
    let Some(id) = wanted(template) else { return Ok(None) };
    let bridge = Config::load(layout)?.bridge(id).ok_or_else(|| unbound(layout, id))?.to_owned();
    Ok(Some(Subnet { id: id.to_string(), bridge }))
}

/// The subnet that a template requests.
pub fn wanted(template: &Template) -> Option<&ResourceId> {
    let profile = template.properties.vm_profile.as_ref()?;
    profile.vnet_config.as_ref()?.subnet_id.as_ref()
}

/// The error for a subnet without a bridge.
pub fn unbound(layout: &Layout, id: &ResourceId) -> Error {
    let message = format!("the subnet '{id}' is bound to no bridge of this host");
    let file = layout.config();
    Error::new(ErrorCode::ValidationFailed, message).target(SUBNET_FIELD).hint(format!(
        "put these lines into {}, with the name of your bridge:\n\n[[subnet]]\nid = \"{id}\"\nbridge = \"br0\"",
        file.display()
    ))
}

/// The nodes of a run, and with a subnet the port that it holds until it ends.
pub(super) fn chain(run: &Run<'_>, plan: &Plan, source: &SourceImage) -> Result<Chain> {
    let fresh = (run.request.freshness, run.id.as_str());
    let layout = &run.cx.layout;
    let Some(subnet) = &plan.subnet else {
        return Ok(Chain::compute(plan, source, run.host, &run.store, fresh.0, fresh.1));
    };
    let cannot = || format!("cannot take a port on {}", subnet.bridge);
    let identity = identity(layout).code(ErrorCode::HostNotReady, cannot)?;
    for number in 0..PORTS {
        let chain = Chain::on_port(plan, source, run.host, &run.store, fresh, number);
        let Some(boot) = chain.links.first() else { break };
        let bridge = bridge(&subnet.bridge, &identity, &boot.base);
        let path = layout.locks().join(format!("port-{}.lock", bridge.tap));
        let lock = Lock::try_take(&path).code(ErrorCode::HostNotReady, cannot)?;
        let Some(lock) = lock.filter(|_| !tap::exists(&bridge.tap)) else { continue };
        if number > 0 {
            run.cx.events.note(format!(
                "other machines are on {} already; this one boots for itself at its own address",
                subnet.bridge
            ));
        }
        run.ledger
            .hold(Releasable::Tap { name: bridge.tap.clone() })
            .code(ErrorCode::HostNotReady, cannot)?;
        if run.port.set(Port { bridge, _in_use: lock }).is_err() {
            return Err(Error::new(
                ErrorCode::InternalError,
                "a run has one port and took another",
            ));
        }
        return Ok(chain);
    }
    Err(Error::new(ErrorCode::HostNotReady, cannot()).hint("too many builds run on it at once"))
}

/// Checks that the bridge exists and may be used, before anything is created.
pub(super) async fn check(backend: &dyn vm::Backend, plan: &Plan) -> Result<()> {
    let Some(subnet) = &plan.subnet else { return Ok(()) };
    backend.check_bridge(&subnet.bridge).await.map_err(|error| {
        let mut error = machine_error(error).target(SUBNET_FIELD);
        error.message = format!("{} (the subnet '{}' is bound to it)", error.message, subnet.id);
        error
    })
}

impl Run<'_> {
    /// The network settings of the run's machines. All of them have the same port, so only one of
    /// them may run at a time.
    pub(crate) fn bridge(&self) -> Option<Bridge> {
        self.port.get().map(|port| port.bridge.clone())
    }
}

/// Waits until the guest has an address from the bridge, if it is on one. With `resumed` it had an
/// address before and requests one again.
pub(crate) async fn join(run: &Run<'_>, os: OsType, at: At<'_>, resumed: bool) -> Result<()> {
    let Some(bridge) = run.bridge() else { return Ok(()) };
    let system = guests::system(os);
    let work = async {
        if resumed {
            system.unplugged(at, &bridge.mac).await?;
            at.machine.plug_in().await.map_err(machine_error)?;
        }
        system.addressed(at, &bridge.mac).await
    };
    let no_address = |text: String| {
        Error::new(ErrorCode::BootTimeout, text)
            .target(SUBNET_FIELD)
            .hint("its network needs a DHCP server that has an address left")
    };
    match tokio::time::timeout(ADDRESS, unless_gone(at.machine, work)).await {
        Ok(Ok(exit)) if exit.success() => Ok(()),
        Ok(Ok(exit)) => Err(no_address(format!(
            "the machine cannot say whether it has an address from {}: {exit}",
            bridge.name
        ))),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(no_address(format!(
            "the machine got no address from {} within {} s",
            bridge.name,
            ADDRESS.as_secs()
        ))),
    }
}

/// MAC address and device of a port, derived from its first boot: the same in each use.
fn bridge(name: &str, identity: &str, boot: &Key) -> Bridge {
    let own = digest(format!("goldsmith-port {identity} {boot}").as_bytes());
    let octet = |at: usize| own.get(at..at + 2).unwrap_or_default();
    Bridge {
        name: name.to_owned(),
        tap: format!(
            "{}{}",
            tap_name::PREFIX,
            own.get(8..8 + tap_name::DIGITS).unwrap_or_default()
        ),
        // Generalization searches for addresses with this prefix.
        mac: format!("02:67:{}:{}:{}:{}", octet(0), octet(2), octet(4), octet(6)),
    }
}

/// Distinguishes the machines of this cache from those of another host with the same builds.
/// Random, generated once.
fn identity(layout: &Layout) -> io::Result<String> {
    let path = layout.identity();
    if let Some(identity) = or_none(fs::read_to_string(&path))? {
        return Ok(identity);
    }
    fs::create_dir_all(layout.cache())?;
    let id = images::new_run_id();
    // The first process sets it; no process sees it half written.
    match Partial::create(&path, &id)?.finish_with(id.as_bytes(), Existing::Keep) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => fs::read_to_string(&path),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use images::digest::KeyBuilder;

    #[test]
    fn port_is_stable_and_differs_between_hosts() {
        let boot = KeyBuilder::new("source", "Boot").finish();
        let one = bridge("br0", "here", &boot);
        assert_eq!(one, bridge("br0", "here", &boot));
        assert!(tap_name::is_ours(&one.tap) && one.tap.len() < 16, "{}", one.tap);
        assert_eq!((one.mac.len(), one.mac.get(..6)), (17, Some("02:67:")));
        let other = KeyBuilder::new("source", "Boot").field("port", "1").finish();
        for different in [bridge("br0", "there", &boot), bridge("br0", "here", &other)] {
            assert_ne!(one.mac, different.mac);
            assert_ne!(one.tap, different.tap);
        }
    }

    #[test]
    fn cache_retains_its_identity() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        let one = identity(&layout).unwrap();
        assert_eq!(identity(&layout).unwrap(), one);
        assert_eq!(fs::read_dir(layout.cache()).unwrap().count(), 1, "nothing else is left");
    }
}
