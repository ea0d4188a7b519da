//! Selects the CPU model that guests see.
//!
//! Under KVM it is a named model, the newest that this host fully supports. A guest then sees the
//! same processor after a microcode or kernel update adds a flag, and the keys of nodes do not
//! change. `host` selects the full processor and ties nodes to it. A saved RAM is always tied to the
//! exact processor ([`super::Host::ram_identity`]); where that has changed, the node's disk is booted
//! instead.
//!
//! Which models: `Haswell-noTSX` (2013) and `EPYC` (2017) have all of x86-64-v3, and nearly every
//! newer processor of their vendors has all of theirs. Later models add features that microcode
//! takes away (TSX) or brings (`spec-ctrl`, in each Intel model since Skylake that lacks TSX), or
//! that only some processors have (AVX-512). Then an update of microcode could change the model,
//! which a named model is to avoid. What microcode brings tells the guest's kernel how to protect its
//! processes from each other; a build machine runs the scripts of one template. It does not protect
//! the host from guests.
//!
//! The names mean the same version of the model for every machine type (`-v1`, of Haswell `-v2`;
//! asked from QEMU 10.0.2 for pc-q35-7.1 and 10.0). Without `enforce`, a feature that KVM hides
//! although the processor has it (as nested KVM may) is missing in the guest and QEMU still starts;
//! with it, QEMU would refuse. Not tested on KVM.

use super::{Accel, cpu_field};

/// The CPU model for guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CpuChoice {
    /// A named model under KVM.
    #[default]
    Named,
    /// The host's processor under KVM.
    Host,
}

/// QEMU's name for the host's full processor.
pub(super) const HOST: &str = "host";

/// Five-level page tables only lengthen every walk. "Fast" string instructions are emulated byte by
/// byte; a guest without them clears its pages by words.
const EMULATED: &str = "max,la57=off,erms=off,fsrm=off";

/// The features of x86-64-v2, under the kernel's names.
const V2: [&str; 6] = ["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"];
/// The features that x86-64-v3 adds.
const V3: [&str; 9] = ["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"];

/// QEMU's models, the newest of each vendor first, with the features that they add to their level.
const MODELS: [(&str, &str, bool, &[&str]); 3] = [
    (
        "GenuineIntel",
        "Haswell-noTSX",
        true,
        &["aes", "erms", "fsgsbase", "invpcid", "pcid", "pclmulqdq", "rdrand", "smep"],
    ),
    (
        "AuthenticAMD",
        "EPYC",
        true,
        &[
            "adx",
            "aes",
            "clflushopt",
            "fsgsbase",
            "pclmulqdq",
            "rdrand",
            "rdseed",
            "sha_ni",
            "smap",
            "smep",
            "sse4a",
        ],
    ),
    ("GenuineIntel", "Nehalem", false, &[]),
];

/// The value for `-cpu`.
pub(super) fn model(accel: &Accel, choice: CpuChoice, cpu_info: &str) -> String {
    let named = match (accel, choice) {
        (Accel::Tcg { .. }, _) => Some(EMULATED),
        (Accel::Kvm, CpuChoice::Host) => None,
        (Accel::Kvm, CpuChoice::Named) => newest(cpu_info),
    };
    named.unwrap_or(HOST).to_owned()
}

fn newest(cpu_info: &str) -> Option<&'static str> {
    let vendor = cpu_field(cpu_info, "vendor_id")?;
    let flags: Vec<&str> = cpu_field(cpu_info, "flags")?.split_whitespace().collect();
    let has = |wanted: &[&str]| wanted.iter().all(|flag| flags.contains(flag));
    let fits = |(of, _, is_v3, more): &&(&str, &str, bool, &[&str])| {
        *of == vendor && has(&V2) && (!is_v3 || has(&V3)) && has(more)
    };
    MODELS.iter().find(fits).map(|(_, name, _, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu_info(vendor: &str, flags: &[&[&str]]) -> String {
        let flags = flags.concat().join(" ");
        format!("vendor_id\t: {vendor}\nmicrocode\t: 0x1\nflags\t\t: fpu {flags}\n")
    }

    #[test]
    fn kvm_model_is_the_newest_that_the_host_fully_supports() {
        let (intel, amd) = (MODELS[0].3, MODELS[1].3);
        let cases = [
            ("GenuineIntel", vec![&V2[..], &V3, intel], "Haswell-noTSX"),
            ("GenuineIntel", vec![&V2[..], &V3], "Nehalem"),
            ("GenuineIntel", vec![&V2[..]], "Nehalem"),
            ("GenuineIntel", vec![&V2[1..]], "host"),
            ("AuthenticAMD", vec![&V2[..], &V3, amd], "EPYC"),
            ("AuthenticAMD", vec![&V2[..], &V3], "host"),
            ("Other", vec![&V2[..], &V3, intel, amd], "host"),
        ];
        for (vendor, flags, expected) in cases {
            let info = cpu_info(vendor, &flags);
            assert_eq!(model(&Accel::Kvm, CpuChoice::Named, &info), expected, "{info}");
            assert_eq!(model(&Accel::Kvm, CpuChoice::Host, &info), "host");
        }
        let tcg = Accel::Tcg { why: String::new() };
        assert_eq!(model(&tcg, CpuChoice::Host, ""), EMULATED);
    }
}
