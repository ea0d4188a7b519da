//! The names of our taps, the ports of machines on bridges of this host.

/// What each begins with.
pub(crate) const PREFIX: &str = "gs";
/// How many hexadecimal digits come after it: the kernel takes 15 bytes.
pub(crate) const DIGITS: usize = 12;

/// Whether that is a name of ours for a tap, and of no device of the administrator's.
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
    fn devices_of_others_are_not_taken_for_ours() {
        for other in
            ["", "gs", "gs0", "eth0", "gs0123456789aB", "gs0123456789abc", "br0123456789ab"]
        {
            assert!(!is_ours(other), "{other}");
        }
    }
}
