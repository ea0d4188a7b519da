//! The memory of the machines of each family, and the first generations, whose numbers are an index
//! instead of a count.

/// How a size's name determines its memory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// The number counts vCPUs, each with that many MiB.
    PerVcpu(u64),
    /// The number is an index in a list.
    Numbered,
}

const GIB: u64 = 1024;

/// The rule for a version of a family; `None` for an unknown family. If the machines of one family
/// differ slightly, the rule fits most of them.
pub(super) fn memory(family: &str, version: u32, features: &str) -> Option<Memory> {
    let has = |letter: char| features.contains(letter);
    let little_or = |usual: u64| if has('l') { 2 * GIB } else { usual };
    let mib = match (family, version) {
        ("A", 1) | ("B", 1) | ("D" | "DS", 1 | 2) | ("G" | "GS", 1) => {
            return Some(Memory::Numbered);
        }
        ("A", 2) => {
            if has('m') {
                8 * GIB
            } else {
                2 * GIB
            }
        }
        ("B", _) if has('t') => GIB / 2,
        ("B" | "D", _) => little_or(4 * GIB),
        ("DC", 3) | ("E" | "EC" | "L", _) => 8 * GIB,
        ("DC", _) => 4 * GIB,
        ("F", 1 | 2) => 2 * GIB,
        ("F", _) if has('m') => 8 * GIB,
        ("F", _) => little_or(4 * GIB),
        ("FX", _) => 21 * GIB,
        ("H", _) => {
            if has('m') {
                14 * GIB
            } else {
                7 * GIB
            }
        }
        ("HB", _) => 4 * GIB,
        ("HC" | "HX", _) => 8 * GIB,
        ("M", _) if has('t') => 6 * GIB,
        ("M", _) if has('l') => 8 * GIB,
        ("M", _) if has('m') => 28 * GIB,
        ("M", _) => 16 * GIB,
        ("NC", 2 | 3) if features == "s" || features == "rs" => 18 * GIB,
        ("NC" | "NV", _) => 9 * GIB,
        ("ND", _) => 18 * GIB,
        ("NG", _) => 2 * GIB,
        ("NP", _) => 16 * GIB,
        _ => return None,
    };
    Some(Memory::PerVcpu(mib))
}

/// vCPUs and MiB of a numbered size.
pub(super) fn numbered(family: &str, number: u32, features: &str) -> Option<(u32, u64)> {
    let row = |list: &[(u32, u32, u64)]| {
        let found = list.iter().find(|(known, ..)| *known == number);
        found.filter(|_| features.is_empty()).map(|(_, vcpus, mib)| (*vcpus, *mib))
    };
    match family {
        "A" => row(A),
        "D" | "DS" => row(D),
        "G" | "GS" => row(G),
        "B" => B
            .iter()
            .find(|(known, of, ..)| *known == number && *of == features)
            .map(|(_, _, mib)| (number, *mib)),
        _ => None,
    }
}

const A: &[(u32, u32, u64)] = &[
    (0, 1, 768),
    (1, 1, 1792),
    (2, 2, 3584),
    (3, 4, 7168),
    (4, 8, 14336),
    (5, 2, 14336),
    (6, 4, 28672),
    (7, 8, 57344),
    (8, 8, 57344),
    (9, 16, 114_688),
    (10, 8, 57344),
    (11, 16, 114_688),
];

const D: &[(u32, u32, u64)] = &[
    (1, 1, 3584),
    (2, 2, 7168),
    (3, 4, 14336),
    (4, 8, 28672),
    (5, 16, 57344),
    (11, 2, 14336),
    (12, 4, 28672),
    (13, 8, 57344),
    (14, 16, 114_688),
    (15, 20, 143_360),
];

const G: &[(u32, u32, u64)] =
    &[(1, 2, 28672), (2, 4, 57344), (3, 8, 114_688), (4, 16, 229_376), (5, 32, 458_752)];

const B: &[(u32, &str, u64)] = &[
    (1, "ls", 512),
    (1, "s", 1024),
    (1, "ms", 2048),
    (2, "s", 4096),
    (2, "ms", 8192),
    (4, "ms", 16384),
    (8, "ms", 32768),
    (12, "ms", 49152),
    (16, "ms", 65536),
    (20, "ms", 81920),
];

const SMALL: &[u32] = &[2, 4, 8];
const USUAL: &[u32] = &[2, 4, 8, 16];

/// Names to list and to suggest; `#` stands for each of the numbers.
pub(super) const COMMON: &[(&str, &[u32])] = &[
    ("A#_v2", &[1, 2, 4, 8]),
    ("A#m_v2", &[2, 4]),
    ("B1ls", &[1]),
    ("B#s", &[1, 2]),
    ("B#ms", &[1, 2, 4, 8]),
    ("B#ts_v2", &[2]),
    ("B#ls_v2", SMALL),
    ("B#s_v2", SMALL),
    ("B#als_v2", SMALL),
    ("B#as_v2", SMALL),
    ("D#_v2", &[1, 2, 3, 4, 5]),
    ("DS#_v2", &[1, 2, 3, 4, 5]),
    ("D#_v3", USUAL),
    ("D#s_v3", USUAL),
    ("D#_v4", USUAL),
    ("D#s_v4", USUAL),
    ("D#d_v4", USUAL),
    ("D#ds_v4", USUAL),
    ("D#a_v4", USUAL),
    ("D#as_v4", USUAL),
    ("D#_v5", USUAL),
    ("D#s_v5", USUAL),
    ("D#d_v5", USUAL),
    ("D#ds_v5", USUAL),
    ("D#as_v5", USUAL),
    ("D#ads_v5", USUAL),
    ("D#ls_v5", USUAL),
    ("D#s_v6", USUAL),
    ("D#ds_v6", USUAL),
    ("D#as_v6", USUAL),
    ("D#ads_v6", USUAL),
    ("E#_v3", SMALL),
    ("E#s_v3", SMALL),
    ("E#s_v4", SMALL),
    ("E#ds_v4", SMALL),
    ("E#s_v5", SMALL),
    ("E#ds_v5", SMALL),
    ("E#as_v5", SMALL),
    ("E#s_v6", SMALL),
    ("F#s_v2", USUAL),
    ("F#as_v6", USUAL),
    ("B#pts_v2", &[2]),
    ("B#pls_v2", &[2, 4]),
    ("B#ps_v2", SMALL),
    ("D#ps_v5", USUAL),
    ("D#pds_v5", USUAL),
    ("D#pls_v5", SMALL),
    ("D#plds_v5", SMALL),
    ("D#ps_v6", SMALL),
    ("E#ps_v5", SMALL),
];
