//! The names of goldsmith's taps, the ports of machines on bridges of this host.

/// The prefix of each name.
pub(crate) const PREFIX: &str = "gs";
/// The number of hexadecimal digits after it: the kernel allows 15 bytes.
pub(crate) const DIGITS: usize = 12;

/// Whether the name is one of goldsmith's taps rather than an administrator's device.
pub(crate) fn is_ours(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == DIGITS
            && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_device_is_not_ours() {
        for other in
            ["", "gs", "gs0", "eth0", "gs0123456789aB", "gs0123456789abc", "br0123456789ab"]
        {
            assert!(!is_ours(other), "{other}");
        }
    }
}
