//! Checks names of accounts, containers and blobs. A valid name can be part of a path: it has no `..`, no
//! empty part, and no leading dot where that has a meaning.

/// The maximum length of a blob's name, as in Azure.
const LONGEST: usize = 1024;
/// The maximum length of a part of a path on common file systems.
const LONGEST_PART: usize = 255;

/// 3 to 24 digits and lower-case letters.
pub(crate) fn is_account(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// 3 to 63 digits, lower-case letters and single hyphens between them.
pub(crate) fn is_container(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (3..=63).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// Parts between slashes, each a valid file name.
pub fn is_blob(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.len() <= LONGEST_PART
            && part != "."
            && part != ".."
            && !part.chars().any(|c| c.is_control() || c == '\\')
    };
    name.len() <= LONGEST && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_cannot_leave_its_container() {
        for good in ["a", "a/b.sh", "run/customization.log", "…", ".hidden", "a..b"] {
            assert!(is_blob(good), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "a\0b", "a\nb"] {
            assert!(!is_blob(bad), "{bad:?}");
        }
        assert!(!is_blob(&"x".repeat(256)) && !is_blob(&"x/".repeat(600)));
    }

    #[test]
    fn account_and_container_names_follow_azures_rules() {
        assert!(is_account("abc") && is_account("st0123456789abcdef012345"));
        for bad in ["ab", "Abc", "a-c", "a.c", "..", &"a".repeat(25)] {
            assert!(!is_account(bad), "{bad}");
        }
        assert!(is_container("vhds") && is_container("a-b"));
        for bad in ["ab", ".partial", "a--b", "-ab", "ab-", "A_b", "..", "a/b", &"a".repeat(64)] {
            assert!(!is_container(bad), "{bad}");
        }
    }
}
