//! Fields that restrict where or under which identity a build runs. Older api-versions ignore unknown
//! fields. Ignoring one of these would build in another network, or under another identity, than the
//! template requires.

use jsonc_parser::ast::Value;

use super::fields::Field;

pub(super) const WHY: &str = ": it affects where, under which identity or past which check an image is built, \
                              so it is not ignored";

/// The normalized names of such fields, and where each belongs.
const LOCATIONS: &[(&str, &str)] = &[
    ("identity", "`identity` belongs beside `properties`"),
    ("stagingresourcegroup", "`stagingResourceGroup` belongs inside `properties`"),
    ("vmprofile", "`vmProfile` belongs inside `properties`"),
    ("vnetconfig", "`vnetConfig` belongs inside `properties.vmProfile`"),
    ("userassignedidentities", "it belongs inside `identity` or `properties.vmProfile`"),
    ("subnetid", "`subnetId` belongs inside `properties.vmProfile.vnetConfig`"),
    ("proxyvmsize", "`proxyVmSize` belongs inside `properties.vmProfile.vnetConfig`"),
    (
        "containerinstancesubnetid",
        "`containerInstanceSubnetId` belongs inside `properties.vmProfile.vnetConfig`",
    ),
];

/// Advice for an unknown field that must not be ignored; `None` if it may be ignored.
pub(super) fn hint(
    object: &str,
    mut table: impl Iterator<Item = &'static Field>,
    name: &str,
    meant: Option<&str>,
) -> Option<String> {
    if object.to_lowercase().ends_with("vmprofile.vnetconfig") {
        return Some(
            "name the subnet by its id, `\"subnetId\": \"/subscriptions/…/virtualNetworks/NET/subnets/NAME\"`"
                .to_owned(),
        );
    }
    let meant_field = table.find(|field| Some(field.name) == meant);
    if meant_field.is_some_and(|field| field.narrowing) {
        return meant.map(|meant| format!("did you mean `{meant}`?"));
    }
    if object.is_empty() && name.eq_ignore_ascii_case("validate") {
        return Some("`validate` belongs inside `properties`".to_owned());
    }
    let plain = name.replace('_', "").to_lowercase();
    LOCATIONS.iter().find(|(name, _)| *name == plain).map(|(_, hint)| (*hint).to_owned())
}

/// Whether a value has no content: null, or empty at every level.
pub(super) fn is_void(value: &Value<'_>) -> bool {
    match value {
        Value::NullKeyword(_) => true,
        Value::StringLit(text) => text.value.trim().is_empty(),
        Value::Array(list) => list.elements.iter().all(is_void),
        Value::Object(object) => object.properties.iter().all(|prop| is_void(&prop.value)),
        Value::NumberLit(_) | Value::BooleanLit(_) => false,
    }
}
