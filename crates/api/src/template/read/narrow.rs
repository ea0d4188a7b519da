//! Fields that say where or as whom a build runs. The older versions ignore what they do not know; of
//! these fields that would be a build in another network, or under another name, than was asked for.

use jsonc_parser::ast::Value;

use super::fields::Field;

pub(super) const WHY: &str = ": it decides where, as whom or past which check an image is built, \
                              so it is not ignored";

/// Names of such fields, written in one way, and where they belong.
const PLACES: &[(&str, &str)] = &[
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

/// Why an unknown field must not be ignored, as the way out; none if it may be.
pub(super) fn hint(
    object: &str,
    table: &[Field],
    name: &str,
    meant: Option<&str>,
) -> Option<String> {
    if object.to_lowercase().ends_with("vmprofile.vnetconfig") {
        return Some(
            "name the subnet by its id, `\"subnetId\": \"/subscriptions/…/virtualNetworks/NET/subnets/NAME\"`"
                .to_owned(),
        );
    }
    let meant_field = table.iter().find(|field| Some(field.name) == meant);
    if meant_field.is_some_and(|field| field.narrowing) {
        return meant.map(|meant| format!("did you mean `{meant}`?"));
    }
    if object.is_empty() && name.eq_ignore_ascii_case("validate") {
        return Some("`validate` belongs inside `properties`".to_owned());
    }
    let plain = name.replace('_', "").to_lowercase();
    PLACES.iter().find(|(known, _)| *known == plain).map(|(_, place)| (*place).to_owned())
}

/// Whether a value says nothing: null, or empty all the way down.
pub(super) fn is_void(value: &Value<'_>) -> bool {
    match value {
        Value::NullKeyword(_) => true,
        Value::StringLit(text) => text.value.trim().is_empty(),
        Value::Array(list) => list.elements.iter().all(is_void),
        Value::Object(object) => object.properties.iter().all(|prop| is_void(&prop.value)),
        Value::NumberLit(_) | Value::BooleanLit(_) => false,
    }
}
