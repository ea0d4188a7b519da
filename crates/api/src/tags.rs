//! Azure's limits for the tags of a resource.

/// The maximum number of tags of one resource.
pub const MOST: usize = 50;
/// The maximum length of a tag's name, in characters.
const LONGEST_NAME: usize = 512;
/// The maximum length of a tag's value, in characters.
const LONGEST_VALUE: usize = 256;

/// Checks the name of a tag.
///
/// # Errors
/// The rule that the name violates.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let is_bad = name.trim().is_empty() || name.contains(['<', '>', '%', '&', '\\', '?', '/']);
    if is_bad || name.chars().count() > LONGEST_NAME {
        return Err("a tag's name must have 1 to 512 characters and none of < > % & \\ ? /");
    }
    Ok(())
}

/// Checks the value of a tag.
///
/// # Errors
/// The rule that the value violates.
pub fn check_value(value: &str) -> Result<(), &'static str> {
    if value.chars().count() > LONGEST_VALUE {
        return Err("a tag's value must have at most 256 characters");
    }
    Ok(())
}
