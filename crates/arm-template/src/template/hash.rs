//! The hash of a template.

use super::read::Template;
use arm_expression::{Quote, hash, write};

/// A decimal number that two templates share if they differ in comments and white space only. Azure's number for the
/// same template is another one; clients only show it.
pub(super) fn template_hash(template: &Template) -> String {
    hash(write(&template.to_value(), Quote::Double).as_bytes()).to_string()
}

impl Template {
    /// A decimal number, the same for templates that differ in comments and white space only. Answers show it as
    /// `templateHash`; Azure has another number for the same template.
    pub fn hash(&self) -> String {
        template_hash(self)
    }
}
