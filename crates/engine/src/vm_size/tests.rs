use super::*;

/// Figures from Azure's size pages: name, vCPUs, MiB, whether Arm.
const KNOWN: &[(&str, u32, u64)] = &[
    ("Standard_A1_v2", 1, 2048),
    ("Standard_A4m_v2", 4, 32768),
    ("Standard_B1ls", 1, 512),
    ("Standard_B2ms", 2, 8192),
    ("Standard_B2ts_v2", 2, 1024),
    ("Standard_B2als_v2", 2, 4096),
    ("Standard_B32as_v2", 32, 131_072),
    ("Standard_D1_v2", 1, 3584),
    ("Standard_D5_v2", 16, 57344),
    ("Standard_D11_v2", 2, 14336),
    ("Standard_DS11_v2", 2, 14336),
    ("Standard_DS11-1_v2", 1, 14336),
    ("Standard_D15_v2", 20, 143_360),
    ("Standard_D2_v2_Promo", 2, 7168),
    ("Standard_D2", 2, 7168),
    ("Standard_DS2", 2, 7168),
    ("Standard_D14", 16, 114_688),
    ("Standard_A2", 2, 3584),
    ("Basic_A2", 2, 3584),
    ("Standard_F2s", 2, 4096),
    ("Standard_F16", 16, 32768),
    ("Standard_F72s_v2", 72, 147_456),
    ("Standard_F2as_v6", 2, 8192),
    ("Standard_F2als_v6", 2, 4096),
    ("Standard_F2ams_v6", 2, 16384),
    ("Standard_FX4mds", 4, 86016),
    ("Standard_D32s_v3", 32, 131_072),
    ("Standard_D64s_v5", 64, 262_144),
    ("Standard_D2ls_v5", 2, 4096),
    ("Standard_D2lds_v5", 2, 4096),
    ("Standard_D2als_v6", 2, 4096),
    ("Standard_D2ds_v6", 2, 8192),
    ("Standard_D2ads_v6", 2, 8192),
    ("Standard_E2s_v6", 2, 16384),
    ("Standard_E2as_v6", 2, 16384),
    ("Standard_E4-2ds_v4", 2, 32768),
    ("Standard_E96bds_v5", 96, 786_432),
    ("Standard_DC1s_v3", 1, 8192),
    ("Standard_DC2as_v5", 2, 8192),
    ("Standard_DC2as_cc_v5", 2, 8192),
    ("Standard_EC2as_v5", 2, 16384),
    ("Standard_L8s_v3", 8, 65536),
    ("Standard_L8as_v3", 8, 65536),
    ("Standard_M128s", 128, 2_097_152),
    ("Standard_GS5-16", 16, 458_752),
    ("Standard_HC44rs", 44, 360_448),
    ("Standard_D2ps_v5", 2, 8192),
    ("Standard_D2plds_v5", 2, 4096),
    ("Standard_B2pts_v2", 2, 1024),
    ("Standard_E2pds_v6", 2, 16384),
];

#[test]
fn size_matches_azure_documentation() {
    for (name, vcpus, memory_mib) in KNOWN {
        for spelling in [(*name).to_owned(), name.to_lowercase(), name.to_uppercase()] {
            let size = find(&spelling).unwrap();
            assert_eq!(
                (size.name.as_str(), size.vcpus, size.memory_mib),
                (*name, *vcpus, *memory_mib)
            );
            let features = name.trim_start_matches("Standard_");
            assert_eq!(size.architecture == ARM64, features.contains('p'), "{name}");
        }
    }
}

/// Only the memory is approximate.
#[test]
fn size_of_every_family_parses() {
    for (name, vcpus) in [
        ("Standard_HB120rs_v3", 120),
        ("Standard_HB120-16rs_v3", 16),
        ("Standard_HX176rs", 176),
        ("Standard_H16mr", 16),
        ("Standard_NC6", 6),
        ("Standard_NC24rs_v3", 24),
        ("Standard_NC4as_T4_v3", 4),
        ("Standard_NC24ads_A100_v4", 24),
        ("Standard_NC40ads_H100_v5", 40),
        ("Standard_ND96isr_H100_v5", 96),
        ("Standard_NV36adms_A10_v5", 36),
        ("Standard_NV6_Promo", 6),
        ("Standard_NG8ads_V620_v1", 8),
        ("Standard_NP10s", 10),
        ("Standard_M416-208s_v2", 208),
        ("Standard_M96ds_1_v3", 96),
        ("Standard_E104ids_v5", 104),
    ] {
        let size = find(name).unwrap();
        assert_eq!((size.name.as_str(), size.vcpus, size.architecture), (name, vcpus, X64));
        assert!(size.memory_mib > u64::from(vcpus) * 1024, "{name}");
    }
}

#[test]
fn common_sizes_are_unique_and_include_the_defaults() {
    let all = common();
    let listed: usize = family::COMMON.iter().map(|(_, numbers)| numbers.len()).sum();
    assert_eq!(all.len(), listed, "every pattern is a size");
    for size in &all {
        assert_eq!(all.iter().filter(|other| other.name == size.name).count(), 1, "{}", size.name);
        assert_eq!(find(&size.name).unwrap(), *size);
    }
    for default in [DEFAULT_GEN1, DEFAULT_GEN2] {
        assert!(all.iter().any(|size| size.name == default));
    }
}

#[test]
fn invalid_size_is_rejected_with_similar_names() {
    let hint = |name| find(name).unwrap_err().hint.unwrap();
    assert!(hint("Standard_D2_v99").contains("Standard_D2_v5"), "{}", hint("Standard_D2_v99"));
    assert!(hint("D2s_v3").contains("near are Standard_D2s_v3"), "{}", hint("D2s_v3"));
    assert!(hint("Standard_B2tss_v2").contains("near are Standard_B2ts_v2"));
    for bad in [
        "",
        "Standard",
        "Standard_",
        "Standard_D",
        "Standard_2s_v3",
        "Standard_Z2s_v3",
        "Standard_D0s_v5",
        "Standard_D3s_v5",
        "Standard_D02s_v5",
        "Standard_D2q_v5",
        "Standard_D2s_v5_v5",
        "Standard_D2s_vv5",
        "Standard_D4-8s_v5",
        "Standard_D4-0s_v5",
        "Standard_D2s_A100_v5",
        "Standard_D6_v2",
        "Standard_B3ms",
        "Standard_D99999s_v5",
        "Standard_D99999999999s_v5",
        "Basic_D2s_v3",
        "Premium_D2s_v3",
        "Standard_Dés_v3",
    ] {
        let error = find(bad).expect_err(bad);
        assert_eq!(error.target.as_deref(), Some(FIELD));
        assert!(!hint(bad).is_empty());
    }
}

#[test]
fn size_must_match_the_source_architecture() {
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
