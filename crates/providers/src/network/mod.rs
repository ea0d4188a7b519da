//! Microsoft.Network: virtual networks and their subnets.
//!
//! A subnet is a row of its own and an entry of its network's `properties.subnets`. One commit writes
//! both.

pub(crate) mod binding;
pub(crate) mod subnet;
pub(crate) mod vnet;

use arm::{
    ApiError,
    fields::{self, invalid, missing},
};
use db::Resource;
use serde_json::{Map, Value, json};

const VERSIONS: &[&str] = &["2025-07-01", "2024-07-01", "2022-01-01", "2020-07-01"];

/// The properties of a subnet, checked and with defaults. `path` is their place in the request.
fn subnet_properties(new: Option<&Value>, path: &str) -> Result<Value, ApiError> {
    let mut properties = match new {
        Some(Value::Object(properties)) => properties.clone(),
        None | Some(Value::Null) => return Err(missing(path)),
        Some(other) => return Err(invalid(path, other, "it must be an object")),
    };
    let one = properties.get("addressPrefix").filter(|prefix| !prefix.is_null());
    let many = properties.get("addressPrefixes").and_then(Value::as_array);
    let prefixes: Vec<&Value> = one.into_iter().chain(many.into_iter().flatten()).collect();
    if prefixes.is_empty() {
        return Err(missing(&format!("{path}.addressPrefix")));
    }
    for prefix in prefixes {
        check_prefix(prefix, &format!("{path}.addressPrefix"))?;
    }
    properties.remove(binding::FIELD);
    let defaults = [
        ("delegations", json!([])),
        ("privateEndpointNetworkPolicies", json!("Disabled")),
        ("privateLinkServiceNetworkPolicies", json!("Enabled")),
    ];
    for (field, default) in defaults {
        properties.entry(field).or_insert(default);
    }
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    Ok(Value::Object(properties))
}

/// `10.0.0.0/16` or `fd00::/48`.
fn check_prefix(value: &Value, path: &str) -> Result<(), ApiError> {
    let good =
        value.as_str().and_then(|text| text.split_once('/')).is_some_and(|(address, bits)| {
            let bits = bits.parse::<u8>().ok();
            let longest = match address.parse::<std::net::IpAddr>() {
                Ok(std::net::IpAddr::V4(_)) => 32,
                Ok(std::net::IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            bits.is_some_and(|bits| bits <= longest)
        });
    if good {
        return Ok(());
    }
    Err(invalid(path, value, "it must be an address range such as 10.0.0.0/16"))
}

/// A subnet as an entry of its network.
fn entry(id: &str, name: &str, properties: &Value) -> Value {
    json!({ "name": name, "id": id, "properties": properties, "type": subnet::NAME })
}

/// The network with that subnet's entry put in, replaced or (`None`) taken out.
fn with_entry(mut network: Resource, name: &str, entry: Option<Value>) -> Resource {
    let mut subnets = network.body["properties"]["subnets"].as_array().cloned().unwrap_or_default();
    let is_it =
        |one: &Value| one["name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name));
    let at = subnets.iter().position(is_it);
    match (at, entry) {
        (Some(at), Some(entry)) => subnets[at] = entry,
        (Some(at), None) => drop(subnets.remove(at)),
        (None, Some(entry)) => subnets.push(entry),
        (None, None) => {}
    }
    network.body["properties"]["subnets"] = Value::Array(subnets);
    network
}

fn check_subnet_name(name: &str) -> Result<(), ApiError> {
    fields::check_name("subnet", name, 1..=80, "_.-")
}

/// `properties.addressSpace.addressPrefixes`: at least one range.
fn check_space(properties: &Map<String, Value>) -> Result<(), ApiError> {
    let path = "properties.addressSpace.addressPrefixes";
    let space = properties.get("addressSpace").map_or(&Value::Null, |s| &s["addressPrefixes"]);
    let prefixes = match space {
        Value::Null => return Err(missing(path)),
        Value::Array(prefixes) if !prefixes.is_empty() => prefixes,
        other => return Err(invalid(path, other, "it must be a list of at least one range")),
    };
    prefixes.iter().try_for_each(|prefix| check_prefix(prefix, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked() {
        for good in ["10.0.0.0/16", "0.0.0.0/0", "fd00::/48"] {
            assert!(check_prefix(&json!(good), "p").is_ok(), "{good}");
        }
        for bad in
            [json!("10.0.0.0"), json!("10.0.0.0/33"), json!("x/8"), json!("::/129"), json!(8)]
        {
            assert_eq!(check_prefix(&bad, "p").unwrap_err().code, "InvalidParameter");
        }
    }

    #[test]
    fn subnet_gets_defaults() {
        let made =
            subnet_properties(Some(&json!({ "addressPrefix": "10.0.0.0/24" })), "p").unwrap();
        assert_eq!(made["provisioningState"], "Succeeded");
        assert_eq!(made["privateLinkServiceNetworkPolicies"], "Enabled");
        assert_eq!(
            subnet_properties(Some(&json!({})), "p").unwrap_err().target.unwrap(),
            "p.addressPrefix"
        );
        assert_eq!(subnet_properties(None, "p").unwrap_err().target.unwrap(), "p");
    }
}
