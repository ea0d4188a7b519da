//! `parseCidr`, `cidrSubnet` and `cidrHost` for IPv4 and IPv6.
//!
//! Addresses of both families are numbers here, an IPv4 address in the lowest 32 bits.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Arguments, Entry, entry};
use crate::{
    error::Fault,
    value::{Object, Value},
};

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("cidrHost", 2..=2, host),
    entry("cidrSubnet", 3..=3, subnet),
    entry("parseCidr", 1..=1, parse),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn bits(self) -> u32 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    fn text(self, address: u128) -> String {
        match self {
            Self::V4 => Ipv4Addr::from(address as u32).to_string(),
            Self::V6 => Ipv6Addr::from(address).to_string(),
        }
    }
}

struct Network {
    family: Family,
    prefix: u32,
    first: u128,
}

impl Network {
    /// Bits of the host in the address do not matter.
    fn read(arguments: &Arguments<'_>, function: &str) -> Result<Self, Fault> {
        let text = arguments.string(0)?;
        Self::parse(text).ok_or_else(|| {
            Fault::new(format!(
                "The template language function '{function}' expects its first argument to be a \
                 network in CIDR notation, such as 10.0.0.0/16. The provided value is '{text}'"
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.trim().split_once('/')?;
        let (family, address) = if address.contains(':') {
            (Family::V6, u128::from(address.parse::<Ipv6Addr>().ok()?))
        } else {
            (Family::V4, u128::from(u32::from(address.parse::<Ipv4Addr>().ok()?)))
        };
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= family.bits())?;
        Some(Self { family, prefix, first: address & !hosts(family, prefix) })
    }

    fn last(&self) -> u128 {
        self.first | hosts(self.family, self.prefix)
    }

    /// Network and broadcast address of an IPv4 network are not for hosts; a network of one or two
    /// addresses has none for them. IPv6 has no broadcast.
    fn usable(&self) -> (u128, u128) {
        match self.family {
            Family::V6 => (self.first, self.last()),
            Family::V4 if self.prefix > 30 => (self.first, self.first),
            Family::V4 => (self.first + 1, self.last() - 1),
        }
    }
}

/// The bits of the host.
fn hosts(family: Family, prefix: u32) -> u128 {
    1u128.checked_shl(family.bits() - prefix).map_or(u128::MAX, |size| size - 1)
}

fn parse(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let network = Network::read(arguments, "parseCidr")?;
    let family = network.family;
    let mask = hosts(family, 0) & !hosts(family, network.prefix);
    let (first_usable, last_usable) = network.usable();
    let mut parts = Object::new();
    let mut insert = |name: &str, address| parts.insert(name, family.text(address).into());
    insert("network", network.first);
    insert("netmask", mask);
    if family == Family::V4 {
        insert("broadcast", network.last());
    }
    insert("firstUsable", first_usable);
    insert("lastUsable", last_usable);
    parts.insert("cidr", i64::from(network.prefix).into());
    Ok(parts.into())
}

/// The subnet of a given prefix length at an index.
fn subnet(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let network = Network::read(arguments, "cidrSubnet")?;
    let (prefix, index) = (arguments.int(1)?, arguments.int(2)?);
    let bits = network.family.bits();
    let new_prefix = u32::try_from(prefix).ok();
    let Some(new_prefix) = new_prefix.filter(|new| (network.prefix..=bits).contains(new)) else {
        return Err(Fault::new(format!(
            "the new prefix length must be between {} and {bits}, it is {prefix}",
            network.prefix
        )));
    };
    let highest = hosts(network.family, bits - (new_prefix - network.prefix));
    let Some(index) = u128::try_from(index).ok().filter(|index| *index <= highest) else {
        return Err(Fault::new(format!(
            "the network has {} subnets of this size, there is none of index {index}",
            highest.saturating_add(1)
        )));
    };
    let offset = index.checked_shl(bits - new_prefix).unwrap_or(0);
    Ok(format!("{}/{new_prefix}", network.family.text(network.first | offset)).into())
}

/// The address of a host at an index. The first one, after the network's own address, has index 0.
fn host(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let network = Network::read(arguments, "cidrHost")?;
    let index = arguments.int(1)?;
    let (_, last) = network.usable();
    let address = u128::try_from(index)
        .ok()
        .and_then(|index| network.first.checked_add(1)?.checked_add(index))
        .filter(|address| *address <= last);
    match address {
        Some(address) => Ok(network.family.text(address).into()),
        None => Err(Fault::new(format!("the network has no address for a host of index {index}"))),
    }
}
