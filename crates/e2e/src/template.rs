//! Templates for tests.

use serde_json::{Value, json};

/// A unique line for a script.
pub fn fresh() -> String {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos());
    format!("# {} {nanos}", std::process::id())
}

/// A template with the catalogue's Debian as source and a managed image as target.
pub fn template(customize: &Value) -> String {
    template_named("web", customize)
}

/// Like [`template`], with another name of the managed image.
pub fn template_named(image: &str, customize: &Value) -> String {
    let group = "/subscriptions/s/resourceGroups/forge/providers";
    json!({
        "type": "Microsoft.VirtualMachineImages/imageTemplates",
        "apiVersion": "2024-02-01",
        "location": "local",
        "identity": {
            "type": "UserAssigned",
            "userAssignedIdentities": {
                format!("{group}/Microsoft.ManagedIdentity/userAssignedIdentities/forge"): {}
            }
        },
        "properties": {
            "vmProfile": { "vmSize": "Standard_B2ts_v2" },
            "source": {
                "type": "PlatformImage", "publisher": "Debian", "offer": "debian-12",
                "sku": "12-gen2", "version": "latest"
            },
            "customize": customize,
            "distribute": [{
                "type": "ManagedImage", "runOutputName": image, "location": "local",
                "imageId": format!("{group}/Microsoft.Compute/images/{image}")
            }]
        }
    })
    .to_string()
}
