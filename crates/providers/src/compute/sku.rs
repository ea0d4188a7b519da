//! Sizes of machines: `Microsoft.Compute/skus` and `locations/{region}/vmSizes`.

use arm::{ApiError, Call, Filter, Reply, region};
use engine::vm_size::{self, VmSize};
use serde_json::{Value, json};
use service::App;

/// `GET /subscriptions/{s}/providers/Microsoft.Compute/skus`
pub fn list(app: &App, call: &Call) -> Result<Reply, ApiError> {
    let filter = call.query.get("$filter").map(String::as_str).unwrap_or_default();
    let filter = Filter::parse(filter, &["location"])?;
    let regions = app.settings().regions.iter().map(|name| region::normalise(name));
    let regions: Vec<String> = regions.filter(|name| filter.allows("location", name)).collect();
    let sizes = if regions.is_empty() { Vec::new() } else { vm_size::common() };
    let value: Vec<Value> = sizes.iter().map(|size| sku(size, &regions)).collect();
    Ok(Reply::ok(json!({ "value": value })))
}

/// `GET …/locations/{region}/vmSizes`
pub fn sizes(app: &App, location: &str) -> Result<Reply, ApiError> {
    region::check(app.context(), "Microsoft.Compute/locations/vmSizes", location)?;
    let value = vm_size::common().into_iter().map(|size| {
        json!({
            "name": size.name,
            "numberOfCores": size.vcpus,
            "memoryInMB": size.memory_mib,
            "osDiskSizeInMB": 1_047_552,
            "resourceDiskSizeInMB": 0,
            "maxDataDiskCount": 64,
        })
    });
    Ok(Reply::ok(json!({ "value": value.collect::<Vec<_>>() })))
}

fn sku(size: &VmSize, regions: &[String]) -> Value {
    let (tier, short) = size.name.split_once('_').unwrap_or(("Standard", &size.name));
    json!({
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": tier,
        "size": short,
        "locations": regions,
        "locationInfo": regions.iter().map(|name| json!({ "location": name, "zones": [] })).collect::<Vec<_>>(),
        "capabilities": [
            { "name": "vCPUs", "value": size.vcpus.to_string() },
            { "name": "MemoryGB", "value": (size.memory_mib as f64 / 1024.0).to_string() },
            { "name": "HyperVGenerations", "value": "V1,V2" },
            { "name": "CpuArchitectureType", "value": size.architecture },
            { "name": "MaxDataDiskCount", "value": "64" },
        ],
        "restrictions": [],
    })
}
