//! Azure VM sizes as vCPUs and memory. Public size lists of Azure; sizes that only differ in what a
//! local machine does not have (accelerators, local disks) are left out.

use api::ErrorCode;

use crate::error::{Error, Result};

/// What a size means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmSize {
    pub name: &'static str,
    pub vcpus: u32,
    pub memory_mib: u64,
}

const fn size(name: &'static str, vcpus: u32, memory_mib: u64) -> VmSize {
    VmSize { name, vcpus, memory_mib }
}

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
];

/// The size of that name, in any case.
///
/// # Errors
/// `ValidationFailed` at `properties.vmProfile.vmSize`, listing the nearest known sizes.
pub fn find(name: &str) -> Result<VmSize> {
    if let Some(size) = SIZES.iter().find(|size| size.name.eq_ignore_ascii_case(name)) {
        return Ok(*size);
    }
    let known: Vec<&str> = SIZES.iter().map(|size| size.name).collect();
    Err(Error::new(ErrorCode::ValidationFailed, format!("unknown VM size {name:?}"))
        .target("properties.vmProfile.vmSize")
        .hint(format!("known sizes: {}", known.join(", "))))
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
    fn an_unknown_size_lists_the_known_ones() {
        let error = find("Standard_D2_v99").unwrap_err();
        assert!(error.hint.unwrap().contains("Standard_D2s_v3"));
    }
}
