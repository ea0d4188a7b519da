//! What identifies the hardware of the guests' systems: [`crate::args`] describes it.

use crate::OsType;

/// Distinguishes the hardware in the identity of a saved RAM. Raise it with every change that a saved
/// RAM notices.
pub(crate) fn version(os: OsType) -> &'static str {
    match os {
        OsType::Linux => "1",
        OsType::Windows => "windows-1",
    }
}

/// What the system adds to the CPU model, with a comma before.
///
/// Under KVM, Windows is told about its hypervisor, so that it needs fewer exits and keeps its clock.
/// Only what can be migrated: not `hv-passthrough`, nor `hv-reenlightenment`, which needs a fixed
/// frequency.
pub(crate) fn cpu_features(os: OsType, is_kvm: bool) -> &'static str {
    match os {
        OsType::Windows if is_kvm => {
            ",hv-relaxed,hv-vapic,hv-spinlocks=0x1fff,hv-vpindex,hv-runtime,hv-time,hv-synic,\
             hv-stimer,hv-frequencies,hv-tlbflush,hv-ipi"
        }
        OsType::Linux | OsType::Windows => "",
    }
}
