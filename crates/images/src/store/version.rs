//! Version numbers of gallery images, and the choice of the next one. Pure.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The largest value of a part, as in Azure's galleries.
const LARGEST: u32 = i32::MAX.cast_unsigned();

/// `x.y.z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl Version {
    /// A version of three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// The version that a source's own version text maps to: its first three numbers, with zeros
    /// for missing ones. `0.20250801.1` stays the same, `12.11` becomes `12.11.0`.
    pub fn of_source(text: &str) -> Option<Self> {
        let mut numbers = text
            .split(|c: char| !c.is_ascii_digit())
            .filter(|digits| !digits.is_empty())
            .map(|digits| digits.parse().ok().filter(|n| *n <= LARGEST));
        let first = numbers.next()??;
        let mut rest = || numbers.next().unwrap_or(Some(0));
        Some(Self::new(first, rest()?, rest()?))
    }

    /// The version after this one; the next minor version once the patches are used up.
    fn successor(self) -> Option<Self> {
        let Self { major, minor, patch } = self;
        if patch < LARGEST {
            Some(Self::new(major, minor, patch + 1))
        } else if minor < LARGEST {
            Some(Self::new(major, minor + 1, 0))
        } else {
            None
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version: three numbers with dots between them, like 1.0.3")]
pub struct NotAVersion(String);

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        match api::template::gallery_version(text) {
            Some([major, minor, patch]) => Ok(Self::new(major, minor, patch)),
            None => Err(NotAVersion(text.to_owned())),
        }
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = NotAVersion;

    fn try_from(text: String) -> Result<Self, NotAVersion> {
        text.parse()
    }
}

/// How a new version gets its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// The successor of the highest one, among those with this major number if one is given.
    Latest { major: Option<u32> },
    /// This number, from the template or from the source.
    Exact(Version),
}

/// The number of the next version after the `existing` ones (in any order).
///
/// An empty definition starts at 0.0.1, an unused major number at `<major>.0.0`.
pub fn next(existing: &[Version], numbering: Numbering) -> Result<Version, NumberTaken> {
    match numbering {
        Numbering::Exact(version) if existing.contains(&version) => Err(NumberTaken(version)),
        Numbering::Exact(version) => Ok(version),
        Numbering::Latest { major } => {
            let highest =
                existing.iter().copied().filter(|v| major.is_none_or(|m| m == v.major)).max();
            match highest {
                Some(highest) => highest.successor().ok_or(NumberTaken(highest)),
                None => Ok(match major.unwrap_or(0) {
                    0 => Version::new(0, 0, 1),
                    major => Version::new(major, 0, 0),
                }),
            }
        }
    }
}

/// The version exists already, or it has no successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("version {0} is taken")]
pub struct NumberTaken(pub Version);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn latest(existing: &[&str], major: Option<u32>) -> String {
        let existing: Vec<_> = existing.iter().map(|text| v(text)).collect();
        next(&existing, Numbering::Latest { major }).unwrap().to_string()
    }

    #[test]
    fn latest_numbering_follows_the_highest() {
        let gallery = [
            "0.1.1", "0.1.2", "1.0.0", "1.0.1", "1.1.0", "1.1.1", "1.2.0", "2.0.0", "2.0.1",
            "2.1.0",
        ];
        assert_eq!(latest(&gallery, None), "2.1.1");
        assert_eq!(latest(&gallery, Some(2)), "2.1.1");
        assert_eq!(latest(&gallery, Some(1)), "1.2.1");
        assert_eq!(latest(&gallery, Some(0)), "0.1.3");
        assert_eq!(latest(&gallery, Some(3)), "3.0.0");
        assert_eq!(latest(&[], None), "0.0.1");
        assert_eq!(latest(&[], Some(0)), "0.0.1");
        assert_eq!(latest(&[], Some(7)), "7.0.0");
    }

    #[test]
    fn exhausted_numbers_carry_over_and_end() {
        assert_eq!(latest(&["1.2.2147483647"], None), "1.3.0");
        let end = [v("5.2147483647.2147483647")];
        assert_eq!(next(&end, Numbering::Latest { major: None }), Err(NumberTaken(end[0])));
    }

    #[test]
    fn exact_number_must_be_free() {
        let exact = Numbering::Exact(v("1.0.0"));
        assert_eq!(next(&[v("1.0.1")], exact), Ok(v("1.0.0")));
        assert_eq!(next(&[v("1.0.0")], exact), Err(NumberTaken(v("1.0.0"))));
    }

    #[test]
    fn version_text_has_three_valid_numbers() {
        for bad in
            ["", "1", "1.0", "1.0.0.0", "1.0.x", "01.0.0", "-1.0.0", "1..0", "1.0.2147483648"]
        {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }

    #[test]
    fn source_version_maps_to_three_numbers() {
        let cases = [
            ("0.20250801.1", Some("0.20250801.1")),
            ("22.04.202508010", Some("22.4.202508010")),
            ("12.11", Some("12.11.0")),
            ("20250814", Some("20250814.0.0")),
            ("12-20250814", Some("12.20250814.0")),
            ("1.2.3.4", Some("1.2.3")),
            ("latest", None),
            ("", None),
            ("99999999999", None),
        ];
        for (text, expected) in cases {
            let version = Version::of_source(text).map(|version| version.to_string());
            assert_eq!(version.as_deref(), expected, "{text}");
        }
    }

    fn version() -> impl Strategy<Value = Version> {
        (0..4_u32, 0..4_u32, 0..6_u32).prop_map(|(a, b, c)| Version::new(a, b, c))
    }

    proptest! {
        #[test]
        fn version_parses_back_from_its_text(a in 0..=LARGEST, b in 0..=LARGEST, c in 0..=LARGEST) {
            let version = Version::new(a, b, c);
            prop_assert_eq!(version.to_string().parse(), Ok(version));
            prop_assert_eq!(Version::of_source(&version.to_string()), Some(version));
        }

        #[test]
        fn next_version_is_unused_and_highest(
            existing in proptest::collection::vec(version(), 0..20),
            major in proptest::option::of(0..5_u32),
        ) {
            let next = next(&existing, Numbering::Latest { major }).unwrap();
            prop_assert!(!existing.contains(&next));
            prop_assert!(major.is_none_or(|major| next.major == major));
            let rivals = existing.iter().filter(|v| major.is_none_or(|major| v.major == major));
            prop_assert!(rivals.max().is_none_or(|highest| *highest < next));
        }
    }
}
