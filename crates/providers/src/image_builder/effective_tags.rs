//! The tags of a template that change what its runs do, or when they begin. To change one is to change the template, which
//! the right to write tags does not include: runs act as the template's identity.

use arm::{ApiError, Call};
use db::Resource;
use engine::build::{CACHE_TAG, CLOUD_INIT_TAG, SECURE_BOOT_TAG, TPM_TAG};
use serde_json::{Map, Value};

use super::{TEMPLATE_ACTIONS, cron};
use crate::linked;

const EFFECTIVE: [&str; 5] = [cron::TAG, CACHE_TAG, CLOUD_INIT_TAG, SECURE_BOOT_TAG, TPM_TAG];

/// Checks the caller of a request that changes nothing but a template's tags.
///
/// # Errors
/// 403 `LinkedAuthorizationFailed` if it changes one with an effect, and the caller may not write the template.
pub(super) fn check_caller(
    call: &Call,
    before: &Map<String, Value>,
    template: &Resource,
) -> Result<(), ApiError> {
    let none = Map::new();
    let after = template.body["tags"].as_object().unwrap_or(&none);
    if EFFECTIVE.iter().all(|name| values(before, name) == values(after, name)) {
        return Ok(());
    }
    linked::beside(call, &[linked::need(TEMPLATE_ACTIONS.write, &template.id)])
}

/// What a tag says. Names of tags are compared without case; an empty one does not count.
fn values<'a>(tags: &'a Map<String, Value>, name: &str) -> Vec<&'a str> {
    let named = tags.iter().filter(|(tag, _)| tag.eq_ignore_ascii_case(name));
    let texts = named.filter_map(|(_, value)| value.as_str().map(str::trim));
    texts.filter(|text| !text.is_empty()).collect()
}
