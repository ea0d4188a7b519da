//! The scripts that make a disk from packages. They are part of a bootstrapped image's identity.

/// The whole script for an image that boots with BIOS.
const BIOS: &str = concat!(
    "set -eu\numask 022\n",
    include_str!("bootstrap/bios.sh"),
    include_str!("bootstrap/apparmor.sh"),
    include_str!("bootstrap/debian.sh")
);
/// The whole script for an image that boots with UEFI.
const UEFI: &str = concat!(
    "set -eu\numask 022\n",
    include_str!("bootstrap/uefi.sh"),
    include_str!("bootstrap/apparmor.sh"),
    include_str!("bootstrap/debian.sh")
);
/// The script for a generation: 1 boots with BIOS, 2 with UEFI.
pub(super) fn script(generation: u8) -> &'static str {
    if generation == 1 { BIOS } else { UEFI }
}
/// The answers to Windows Setup, with places for what differs.
pub(super) const WINDOWS_ANSWERS: &str = include_str!("bootstrap/windows/Autounattend.xml");
/// What ends an installation of Windows.
pub(super) const WINDOWS_INSTALL: &str = include_str!("bootstrap/windows/install.ps1");
