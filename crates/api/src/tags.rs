//! What tags of a resource may be, as Azure has it.

/// Tags of one resource.
pub const MOST: usize = 50;
/// Characters of a tag's name.
const LONGEST_NAME: usize = 512;
/// Characters of a tag's value.
const LONGEST_VALUE: usize = 256;

/// Whether a tag can have that name.
///
/// # Errors
/// The rule that the name breaks.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let is_bad = name.trim().is_empty() || name.contains(['<', '>', '%', '&', '\\', '?', '/']);
    if is_bad || name.chars().count() > LONGEST_NAME {
        return Err("the name of a tag has 1 to 512 characters and none of < > % & \\ ? /");
    }
    Ok(())
}

/// Whether a tag can have that value.
///
/// # Errors
/// The rule that the value breaks.
pub fn check_value(value: &str) -> Result<(), &'static str> {
    if value.chars().count() > LONGEST_VALUE {
        return Err("the value of a tag has at most 256 characters");
    }
    Ok(())
}
