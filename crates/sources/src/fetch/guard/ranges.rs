//! Special-purpose addresses: the IANA registries for IPv4 and IPv6, multicast, the ranges that the
//! IPv6 registry leaves outside of global unicast, and the metadata services of clouds.
//!
//! <https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address may be contacted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Global unicast.
    Public,
    /// A private network: only if the user or the administrator allows it.
    Private,
    /// Never: it leads to the secrets of a cloud machine, or it is not the address of one machine.
    Never,
}

/// A block of addresses and its purpose.
#[derive(Debug)]
pub(super) struct Block {
    /// The registry's name for it.
    pub(super) name: &'static str,
    network: IpAddr,
    bits: u8,
    pub(super) reach: Reach,
}

impl Block {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        contains(self.network, self.bits, address)
    }
}

/// Whether the address is in the network with that many leading bits.
pub(super) fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let (network, address, width) = match (network, address) {
        (IpAddr::V4(n), IpAddr::V4(a)) => (u128::from(n.to_bits()), u128::from(a.to_bits()), 32),
        (IpAddr::V6(n), IpAddr::V6(a)) => (n.to_bits(), a.to_bits(), 128),
        _ => return false,
    };
    let host_bits = u32::saturating_sub(width, u32::from(bits));
    network.checked_shr(host_bits) == address.checked_shr(host_bits)
}

const fn v4(network: [u8; 4], bits: u8, reach: Reach, name: &'static str) -> Block {
    let [a, b, c, d] = network;
    Block { name, network: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits, reach }
}

const fn v6(network: [u16; 8], bits: u8, reach: Reach, name: &'static str) -> Block {
    let [a, b, c, d, e, f, g, h] = network;
    Block { name, network: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), bits, reach }
}

use Reach::{Never, Private};

/// Every block that is not global unicast, or that contains no web server for scripts.
#[rustfmt::skip]
pub(super) const SPECIAL: &[Block] = &[
    v4([0, 0, 0, 0], 8, Never, "this network"),
    v4([10, 0, 0, 0], 8, Private, "private use"),
    v4([100, 64, 0, 0], 10, Private, "shared address space"),
    v4([100, 100, 100, 200], 32, Never, "Alibaba Cloud's metadata"),
    v4([127, 0, 0, 0], 8, Private, "loopback"),
    v4([168, 63, 129, 16], 32, Never, "Azure's wire server"),
    v4([169, 254, 0, 0], 16, Never, "link local"),
    v4([172, 16, 0, 0], 12, Private, "private use"),
    v4([192, 0, 0, 0], 24, Private, "IETF protocol assignments"),
    v4([192, 0, 0, 192], 32, Never, "Oracle Cloud's metadata"),
    v4([192, 0, 2, 0], 24, Private, "documentation (TEST-NET-1)"),
    v4([192, 31, 196, 0], 24, Private, "AS112"),
    v4([192, 52, 193, 0], 24, Private, "AMT"),
    v4([192, 88, 99, 0], 24, Private, "6to4 relay anycast"),
    v4([192, 168, 0, 0], 16, Private, "private use"),
    v4([192, 175, 48, 0], 24, Private, "direct delegation AS112 service"),
    v4([198, 18, 0, 0], 15, Private, "benchmarking"),
    v4([198, 51, 100, 0], 24, Private, "documentation (TEST-NET-2)"),
    v4([203, 0, 113, 0], 24, Private, "documentation (TEST-NET-3)"),
    v4([224, 0, 0, 0], 4, Never, "multicast"),
    v4([240, 0, 0, 0], 4, Private, "reserved"),
    v4([255, 255, 255, 255], 32, Never, "limited broadcast"),
    v6([0; 8], 128, Never, "unspecified"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Private, "loopback"),
    v6([0; 8], 96, Private, "IPv4-compatible"),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, Private, "IPv4-translated"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Private, "local-use IPv4/IPv6 translation"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Private, "discard only"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, Private, "dummy prefix"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Private, "Teredo"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Private, "IETF protocol assignments"),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Private, "benchmarking"),
    v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, Private, "AMT"),
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, Private, "AS112"),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, Private, "ORCHID"),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, Private, "ORCHIDv2"),
    v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, Private, "drone remote identification"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Private, "documentation"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Private, "6to4"),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, Private, "direct delegation AS112 service"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Private, "documentation"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Private, "segment routing SIDs"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Private, "unique local"),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128, Never, "Scaleway's metadata"),
    v6([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128, Never, "Oracle Cloud's metadata"),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, Never, "Amazon's metadata"),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, Never, "Google Cloud's metadata"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Never, "link local"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Private, "site local"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Never, "multicast"),
];

/// Global unicast as assigned today, and the well-known translation prefixes for IPv4. An address
/// with such a prefix has the reach of the embedded one.
const GLOBAL_V6: &[Block] = &[
    v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, Reach::Public, "global unicast"),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Reach::Public, "IPv4-mapped"),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Reach::Public, "IPv4/IPv6 translation"),
];

/// The reach of an address, and its purpose if it is not public.
pub(super) fn classify(address: IpAddr) -> (Reach, &'static str) {
    let mut found = own_class(address);
    if let IpAddr::V6(v6) = address {
        for inner in embedded(v6) {
            let class = own_class(IpAddr::V4(inner));
            if class.0 > found.0 {
                found = class;
            }
        }
    }
    found
}

/// The class of the address itself: its strictest block, and of several the smallest.
fn own_class(address: IpAddr) -> (Reach, &'static str) {
    let special = SPECIAL.iter().filter(|block| block.contains(address));
    match special.max_by_key(|block| (block.reach, block.bits)) {
        Some(block) => (block.reach, block.name),
        None if address.is_ipv4() => (Reach::Public, "global unicast"),
        None => match GLOBAL_V6.iter().find(|block| block.contains(address)) {
            Some(block) => (block.reach, block.name),
            None => (Reach::Private, "not assigned"),
        },
    }
}

/// Every IPv4 address that routers or translators could extract from an IPv6 one.
pub(super) fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let s = address.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    let mut found = match s {
        // `::` and `::1` are blocks of their own.
        [0, 0, 0, 0, 0, 0, 0, _] => Vec::new(),
        // Mapped, compatible, translated, and the well-known prefix of NAT64.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => vec![pair(high, low)],
        // Local-use NAT64: a network chooses one of the forms of RFC 6052 below its /48.
        [0x64, 0xff9b, 1, a, b, c, high, low] => {
            let forms = [
                pair(high, low),
                pair(a, (b & 0xff) << 8 | c >> 8),
                pair((a & 0xff) << 8 | (b & 0xff), c),
                pair((b & 0xff) << 8 | c >> 8, (c & 0xff) << 8 | high >> 8),
            ];
            // Only one of the forms applies. The others leave zeroes there.
            forms.into_iter().filter(|form| form.octets()[0] != 0).collect()
        }
        // Teredo: its server, and the client in inverted bits.
        [0x2001, 0, server, rest, _, _, high, low] => vec![pair(server, rest), pair(!high, !low)],
        [0x2002, high, low, ..] => vec![pair(high, low)],
        _ => Vec::new(),
    };
    // ISATAP embeds an IPv4 address in the interface identifier, below any prefix.
    if matches!((s[4], s[5]), (0 | 0x200, 0x5efe)) {
        found.push(pair(s[6], s[7]));
    }
    found
}
