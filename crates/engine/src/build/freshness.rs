//! The maximum age of steps that a build reuses.

use std::time::Duration;

use jiff::Timestamp;

use crate::node::Node;

/// The tag with which a template allows the service to reuse its steps.
pub const CACHE_TAG: &str = "goldsmith.cache";

/// How old a cached step may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    /// `--no-cache`: every customizer runs again; only the booted node is reused.
    pub no_cache: bool,
    /// `--max-age`: older nodes of customizers are not reused.
    pub max_age: Option<Duration>,
}

impl Freshness {
    /// Every customizer runs again.
    pub const FRESH: Self = Self { no_cache: true, max_age: None };

    /// The freshness for the tag [`CACHE_TAG`]: without it every customizer runs again, `steps`
    /// reuses steps of any age, a time such as `24h` those that are not older.
    ///
    /// # Errors
    /// The text lists the valid values.
    pub fn of_tag(tag: Option<&str>) -> Result<Self, String> {
        match tag.map(str::trim) {
            None | Some("") => Ok(Self::FRESH),
            Some("steps") => Ok(Self::default()),
            Some(text) => {
                let max_age = duration(text).ok_or_else(|| {
                    format!(
                        "the tag `{CACHE_TAG}` is {text:?}; it can be `steps` or a time such as 90s, 30m, 12h or 7d"
                    )
                })?;
                Ok(Self { no_cache: false, max_age: Some(max_age) })
            }
        }
    }

    pub(super) fn allows(self, node: Option<&Node>) -> bool {
        match node {
            Some(node) => self.allows_age(age(node)),
            None => !self.no_cache,
        }
    }

    /// Whether a result of that age may be reused.
    pub(crate) fn allows_age(self, age: Duration) -> bool {
        let too_old = self.max_age.is_some_and(|max| age > max);
        !self.no_cache && !too_old
    }
}

/// The time since the node was made.
pub fn age(node: &Node) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(node.meta.created)).unwrap_or_default()
}

/// Parses a number and a unit.
fn duration(text: &str) -> Option<Duration> {
    let (at, unit) = text.char_indices().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let number: u64 = text[..at].parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_decides_which_steps_are_reused() {
        assert_eq!(Freshness::of_tag(None), Ok(Freshness::FRESH));
        assert_eq!(Freshness::of_tag(Some("steps")), Ok(Freshness::default()));
        let day = Freshness { no_cache: false, max_age: Some(Duration::from_secs(86_400)) };
        assert_eq!(Freshness::of_tag(Some("24h")), Ok(day));
        assert_eq!(Freshness::of_tag(Some("1d")), Ok(day));
        for wrong in ["yes", "h", "-1h", "24", "99999999999999999999d", "1µ"] {
            let said = Freshness::of_tag(Some(wrong)).unwrap_err();
            assert!(said.contains(wrong) && said.contains("steps"), "{said}");
        }
    }
}
