//! What makes a disk of packages: part of a bootstrapped image's identity.

/// The whole script for an image that boots by BIOS.
const BIOS: &str = concat!(
    "set -eu\numask 022\n",
    include_str!("bootstrap/bios.sh"),
    include_str!("bootstrap/debian.sh")
);
/// The whole script for an image that boots by UEFI.
const UEFI: &str = concat!(
    "set -eu\numask 022\n",
    include_str!("bootstrap/uefi.sh"),
    include_str!("bootstrap/debian.sh")
);
/// The script for a generation: 1 boots by BIOS, 2 by UEFI.
pub(super) fn script(generation: u8) -> &'static str {
    if generation == 1 { BIOS } else { UEFI }
}
