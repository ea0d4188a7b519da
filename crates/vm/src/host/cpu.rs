//! Which processor guests see.
//!
//! Under KVM that is a model with a name, the newest that this host has all of: what a guest sees stays the same when a
//! microcode or kernel update shows one flag more, and so do the names of nodes. `host` is for whoever wants all of the
//! processor; then nodes are tied to it. A saved RAM is always tied to the very processor ([`super::Host::ram_identity`]):
//! where that has changed, the node's disk is booted.

use super::{Accel, cpu_field};

/// The processor that guests see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CpuChoice {
    /// A named model under KVM.
    #[default]
    Named,
    /// The host's own under KVM.
    Host,
}

/// Under KVM, all of the host's processor.
pub(super) const HOST: &str = "host";

/// Five-level page tables only make every walk longer, and "fast" string instructions are emulated byte by byte: a
/// guest that does without clears its pages by words.
const EMULATED: &str = "max,la57=off,erms=off,fsrm=off";

/// x86-64-v2, as the kernel names its parts.
const V2: [&str; 6] = ["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"];
/// What x86-64-v3 has beyond that.
const V3: [&str; 9] = ["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"];

/// QEMU's models, the newest of each vendor first, with what they have beyond their level.
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
    fn kvm_model_is_the_newest_that_the_host_has_all_of() {
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
