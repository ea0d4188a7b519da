//! The present addresses of this host. Services that a firewall hides from outside answer on them,
//! so a public address of the host is not open to templates.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::ranges::contains;

use images::absent::or_none;

const V4: &str = "/proc/self/net/fib_trie";
const V6: &str = "/proc/self/net/if_inet6";

/// Whether the address leads back to this host.
///
/// # Errors
/// The kernel's lists cannot be read.
pub(super) fn is_own(address: IpAddr) -> io::Result<bool> {
    match address {
        IpAddr::V4(_) => Ok(holds(&local_v4(&fs::read_to_string(V4)?), address)),
        // A kernel without IPv6 has no such addresses, and cannot connect to one.
        IpAddr::V6(_) => {
            Ok(or_none(fs::read_to_string(V6))?
                .is_some_and(|text| holds(&local_v6(&text), address)))
        }
    }
}

fn holds(local: &[(IpAddr, u8)], address: IpAddr) -> bool {
    local.iter().any(|(network, bits)| contains(*network, *bits, address))
}

/// Networks that the kernel delivers locally: a leaf `|-- ADDRESS`, below it `/BITS host LOCAL`.
fn local_v4(trie: &str) -> Vec<(IpAddr, u8)> {
    let mut leaf = None;
    let mut found = Vec::new();
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.ends_with(" LOCAL")
            && let Some(address) = leaf
            && let Some(bits) = line.strip_prefix('/').and_then(|rest| rest.split(' ').next())
            && let Ok(bits) = bits.parse()
        {
            found.push((IpAddr::V4(address), bits));
        }
    }
    found
}

/// One address per line, as 32 hexadecimal digits.
fn local_v6(list: &str) -> Vec<(IpAddr, u8)> {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok();
    let bits = list.lines().filter_map(address);
    bits.map(|bits| (IpAddr::V6(Ipv6Addr::from_bits(bits)), 128)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_lists_parse() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
                    |-- 127.0.0.0\n              /8 host LOCAL\n           |-- 20.30.0.7\n\
                    \u{20}             /32 host LOCAL\n        |-- 20.30.0.255\n           /32 link BROADCAST\n";
        let local = local_v4(trie);
        let own = |text: &str| holds(&local, text.parse().unwrap());
        assert!(own("20.30.0.7") && own("127.9.9.9"));
        assert!(!own("20.30.0.8") && !own("20.30.0.255") && !own("8.8.8.8"));

        let list = "2a010db8000000000000000000000007 04 40 20 80     eth0\n\
                    00000000000000000000000000000001 01 80 10 80       lo\n";
        let local = local_v6(list);
        assert!(holds(&local, "2a01:db8::7".parse().unwrap()));
        assert!(!holds(&local, "2a01:db8::8".parse().unwrap()));
    }

    #[test]
    fn is_own_finds_addresses_of_this_host() {
        assert!(is_own(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap());
        assert!(!is_own("151.101.2.132".parse().unwrap()).unwrap());
    }
}
