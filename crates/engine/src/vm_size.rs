//! Azure VM sizes as vCPUs, memory and architecture. Public size lists of Azure; sizes that only
//! differ in what a local machine does not have (accelerators, local disks) are left out.

use api::ErrorCode;

use crate::error::{Error, Result};

/// What a size means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmSize {
    pub name: &'static str,
    pub vcpus: u32,
    pub memory_mib: u64,
    /// `x64` or `Arm64`.
    pub architecture: &'static str,
}

const fn size(name: &'static str, vcpus: u32, memory_mib: u64) -> VmSize {
    VmSize { name, vcpus, memory_mib, architecture: X64 }
}

const fn arm(name: &'static str, vcpus: u32, memory_mib: u64) -> VmSize {
    VmSize { name, vcpus, memory_mib, architecture: ARM64 }
}

const X64: &str = "x64";
const ARM64: &str = "Arm64";

/// The size AIB takes for a Gen1 source when none is given.
pub const DEFAULT_GEN1: &str = "Standard_D1_v2";
/// The size AIB takes for a Gen2 source when none is given.
pub const DEFAULT_GEN2: &str = "Standard_D2ds_v4";

/// All known sizes.
pub const SIZES: &[VmSize] = &[
    size("Standard_A1_v2", 1, 2048),
    size("Standard_A2_v2", 2, 4096),
    size("Standard_A4_v2", 4, 8192),
    size("Standard_A8_v2", 8, 16384),
    size("Standard_A2m_v2", 2, 16384),
    size("Standard_A4m_v2", 4, 32768),
    size("Standard_B1ls", 1, 512),
    size("Standard_B1s", 1, 1024),
    size("Standard_B1ms", 1, 2048),
    size("Standard_B2s", 2, 4096),
    size("Standard_B2ms", 2, 8192),
    size("Standard_B4ms", 4, 16384),
    size("Standard_B8ms", 8, 32768),
    size("Standard_B2ts_v2", 2, 1024),
    size("Standard_B2ls_v2", 2, 4096),
    size("Standard_B2s_v2", 2, 8192),
    size("Standard_B4ls_v2", 4, 8192),
    size("Standard_B4s_v2", 4, 16384),
    size("Standard_B8ls_v2", 8, 16384),
    size("Standard_B8s_v2", 8, 32768),
    size("Standard_D1_v2", 1, 3584),
    size("Standard_D2_v2", 2, 7168),
    size("Standard_D3_v2", 4, 14336),
    size("Standard_D4_v2", 8, 28672),
    size("Standard_D5_v2", 16, 57344),
    size("Standard_DS1_v2", 1, 3584),
    size("Standard_DS2_v2", 2, 7168),
    size("Standard_DS3_v2", 4, 14336),
    size("Standard_DS4_v2", 8, 28672),
    size("Standard_DS5_v2", 16, 57344),
    size("Standard_D2_v3", 2, 8192),
    size("Standard_D4_v3", 4, 16384),
    size("Standard_D8_v3", 8, 32768),
    size("Standard_D16_v3", 16, 65536),
    size("Standard_D2s_v3", 2, 8192),
    size("Standard_D4s_v3", 4, 16384),
    size("Standard_D8s_v3", 8, 32768),
    size("Standard_D16s_v3", 16, 65536),
    size("Standard_D2_v4", 2, 8192),
    size("Standard_D4_v4", 4, 16384),
    size("Standard_D8_v4", 8, 32768),
    size("Standard_D16_v4", 16, 65536),
    size("Standard_D2s_v4", 2, 8192),
    size("Standard_D4s_v4", 4, 16384),
    size("Standard_D8s_v4", 8, 32768),
    size("Standard_D16s_v4", 16, 65536),
    size("Standard_D2d_v4", 2, 8192),
    size("Standard_D4d_v4", 4, 16384),
    size("Standard_D8d_v4", 8, 32768),
    size("Standard_D16d_v4", 16, 65536),
    size("Standard_D2ds_v4", 2, 8192),
    size("Standard_D4ds_v4", 4, 16384),
    size("Standard_D8ds_v4", 8, 32768),
    size("Standard_D16ds_v4", 16, 65536),
    size("Standard_D2a_v4", 2, 8192),
    size("Standard_D4a_v4", 4, 16384),
    size("Standard_D8a_v4", 8, 32768),
    size("Standard_D16a_v4", 16, 65536),
    size("Standard_D2as_v4", 2, 8192),
    size("Standard_D4as_v4", 4, 16384),
    size("Standard_D8as_v4", 8, 32768),
    size("Standard_D16as_v4", 16, 65536),
    size("Standard_D2_v5", 2, 8192),
    size("Standard_D4_v5", 4, 16384),
    size("Standard_D8_v5", 8, 32768),
    size("Standard_D16_v5", 16, 65536),
    size("Standard_D2s_v5", 2, 8192),
    size("Standard_D4s_v5", 4, 16384),
    size("Standard_D8s_v5", 8, 32768),
    size("Standard_D16s_v5", 16, 65536),
    size("Standard_D2d_v5", 2, 8192),
    size("Standard_D4d_v5", 4, 16384),
    size("Standard_D8d_v5", 8, 32768),
    size("Standard_D16d_v5", 16, 65536),
    size("Standard_D2ds_v5", 2, 8192),
    size("Standard_D4ds_v5", 4, 16384),
    size("Standard_D8ds_v5", 8, 32768),
    size("Standard_D16ds_v5", 16, 65536),
    size("Standard_D2as_v5", 2, 8192),
    size("Standard_D4as_v5", 4, 16384),
    size("Standard_D8as_v5", 8, 32768),
    size("Standard_D16as_v5", 16, 65536),
    size("Standard_D2ads_v5", 2, 8192),
    size("Standard_D4ads_v5", 4, 16384),
    size("Standard_D8ads_v5", 8, 32768),
    size("Standard_D16ads_v5", 16, 65536),
    size("Standard_D2s_v6", 2, 8192),
    size("Standard_D4s_v6", 4, 16384),
    size("Standard_D8s_v6", 8, 32768),
    size("Standard_D16s_v6", 16, 65536),
    size("Standard_D2as_v6", 2, 8192),
    size("Standard_D4as_v6", 4, 16384),
    size("Standard_D8as_v6", 8, 32768),
    size("Standard_D16as_v6", 16, 65536),
    size("Standard_E2_v3", 2, 16384),
    size("Standard_E4_v3", 4, 32768),
    size("Standard_E8_v3", 8, 65536),
    size("Standard_E2s_v3", 2, 16384),
    size("Standard_E4s_v3", 4, 32768),
    size("Standard_E8s_v3", 8, 65536),
    size("Standard_E2s_v4", 2, 16384),
    size("Standard_E4s_v4", 4, 32768),
    size("Standard_E8s_v4", 8, 65536),
    size("Standard_E2ds_v4", 2, 16384),
    size("Standard_E4ds_v4", 4, 32768),
    size("Standard_E8ds_v4", 8, 65536),
    size("Standard_E2s_v5", 2, 16384),
    size("Standard_E4s_v5", 4, 32768),
    size("Standard_E8s_v5", 8, 65536),
    size("Standard_E2ds_v5", 2, 16384),
    size("Standard_E4ds_v5", 4, 32768),
    size("Standard_E8ds_v5", 8, 65536),
    size("Standard_E2as_v5", 2, 16384),
    size("Standard_E4as_v5", 4, 32768),
    size("Standard_E8as_v5", 8, 65536),
    size("Standard_F2s_v2", 2, 4096),
    size("Standard_F4s_v2", 4, 8192),
    size("Standard_F8s_v2", 8, 16384),
    size("Standard_F16s_v2", 16, 32768),
    arm("Standard_B2pts_v2", 2, 1024),
    arm("Standard_B2pls_v2", 2, 4096),
    arm("Standard_B2ps_v2", 2, 8192),
    arm("Standard_B4pls_v2", 4, 8192),
    arm("Standard_B4ps_v2", 4, 16384),
    arm("Standard_B8ps_v2", 8, 32768),
    arm("Standard_D2ps_v5", 2, 8192),
    arm("Standard_D4ps_v5", 4, 16384),
    arm("Standard_D8ps_v5", 8, 32768),
    arm("Standard_D16ps_v5", 16, 65536),
    arm("Standard_D2pds_v5", 2, 8192),
    arm("Standard_D4pds_v5", 4, 16384),
    arm("Standard_D8pds_v5", 8, 32768),
    arm("Standard_D16pds_v5", 16, 65536),
    arm("Standard_D2pls_v5", 2, 4096),
    arm("Standard_D4pls_v5", 4, 8192),
    arm("Standard_D8pls_v5", 8, 16384),
    arm("Standard_D2plds_v5", 2, 4096),
    arm("Standard_D4plds_v5", 4, 8192),
    arm("Standard_D8plds_v5", 8, 16384),
    arm("Standard_D2ps_v6", 2, 8192),
    arm("Standard_D4ps_v6", 4, 16384),
    arm("Standard_D8ps_v6", 8, 32768),
    arm("Standard_E2ps_v5", 2, 16384),
    arm("Standard_E4ps_v5", 4, 32768),
    arm("Standard_E8ps_v5", 8, 65536),
];

/// How many near names an error shows.
const NEAR: usize = 5;

const FIELD: &str = "properties.vmProfile.vmSize";

/// The size of that name, in any case.
///
/// # Errors
/// `ValidationFailed` at `properties.vmProfile.vmSize`, listing the nearest known sizes.
pub fn find(name: &str) -> Result<VmSize> {
    if let Some(size) = SIZES.iter().find(|size| size.name.eq_ignore_ascii_case(name)) {
        return Ok(*size);
    }
    let near = nearest(name, |_| true).join(", ");
    Err(Error::new(ErrorCode::ValidationFailed, format!("unknown VM size {name:?}"))
        .target(FIELD)
        .hint(format!("the nearest that are known: {near}")))
}

/// The size of that name, or the default for the source's generation, if the source runs on it.
///
/// # Errors
/// `ValidationFailed` at `properties.vmProfile.vmSize`.
pub fn for_source(given: Option<&str>, generation: u8, architecture: &str) -> Result<VmSize> {
    let default = if generation == 1 { DEFAULT_GEN1 } else { DEFAULT_GEN2 };
    let size = find(given.filter(|name| !name.is_empty()).unwrap_or(default))?;
    // An image of unknown architecture is taken at its word.
    if architecture.is_empty() || size.architecture.eq_ignore_ascii_case(architecture) {
        return Ok(size);
    }
    let same = |other: &VmSize| other.architecture.eq_ignore_ascii_case(architecture);
    let near = nearest(size.name, same).join(", ");
    let text = format!(
        "the VM size {} has an {} processor and the source image is for {architecture}",
        size.name, size.architecture
    );
    Err(Error::new(ErrorCode::ValidationFailed, text)
        .target(FIELD)
        .hint(format!("give a size of the image's architecture: {near}")))
}

/// The names most like this one, best first.
fn nearest(name: &str, wanted: impl Fn(&VmSize) -> bool) -> Vec<&'static str> {
    let name = name.to_lowercase();
    let mut all: Vec<_> = SIZES
        .iter()
        .filter(|size| wanted(size))
        .map(|size| (difference(&name, &size.name.to_lowercase()), size.name))
        .collect();
    all.sort_by_key(|(difference, _)| *difference);
    all.into_iter().take(NEAR).map(|(_, name)| name).collect()
}

/// Letters that are neither in the common beginning nor in the common end.
fn difference(a: &str, b: &str) -> usize {
    let common = |(x, y): &(char, char)| x == y;
    let start = a.chars().zip(b.chars()).take_while(common).count();
    let least = a.chars().count().min(b.chars().count()) - start;
    let end = a.chars().rev().zip(b.chars().rev()).take_while(common).count().min(least);
    a.chars().count() + b.chars().count() - 2 * (start + end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn sizes_are_found_in_any_case_and_named_once() {
        assert_eq!(find("standard_d2s_V3").unwrap().memory_mib, 8192);
        for size in SIZES {
            assert_eq!(SIZES.iter().filter(|other| other.name == size.name).count(), 1);
        }
        assert!(find(DEFAULT_GEN1).is_ok() && find(DEFAULT_GEN2).is_ok());
    }

    #[test]
    fn an_unknown_size_lists_the_nearest_ones() {
        let hint = |name| find(name).unwrap_err().hint.unwrap();
        assert!(hint("Standard_D2_v99").contains("Standard_D2_v5"), "{}", hint("Standard_D2_v99"));
        assert!(hint("D2s_v3").contains("known: Standard_D2s_v3"), "{}", hint("D2s_v3"));
        assert!(hint("Standard_B2tss_v2").contains("known: Standard_B2ts_v2"));
        assert!(!hint("").is_empty());
    }

    #[test]
    fn a_size_must_be_of_the_source_s_architecture() {
        assert_eq!(for_source(None, 1, "x64").unwrap().name, DEFAULT_GEN1);
        assert_eq!(for_source(Some(""), 2, "").unwrap().name, DEFAULT_GEN2);
        assert_eq!(for_source(Some("Standard_D2ps_v5"), 2, "Arm64").unwrap().vcpus, 2);
        let error = for_source(Some("standard_d2ps_V5"), 2, "x64").unwrap_err();
        assert_eq!(error.code, ErrorCode::ValidationFailed);
        assert_eq!(error.target.as_deref(), Some(FIELD));
        assert!(error.message.contains("Standard_D2ps_v5 has an Arm64 processor"), "{error}");
        let hint = error.hint.unwrap();
        assert!(hint.contains("Standard_D2s_v5") && !hint.contains("ps_v5"), "{hint}");
        let error = for_source(None, 2, "Arm64").unwrap_err();
        assert!(error.hint.unwrap().contains("Standard_D2p"));
    }
}
