//! A source that boots by BIOS: it is built upon, its tools update the boot loader, and it boots.

use std::time::Duration;

use e2e::{Lab, fresh, template, text, wait_for};
use serde_json::{Value, json};

const DEFINITION: &str =
    "/subscriptions/s/resourceGroups/forge/providers/Microsoft.Compute/galleries/g/images/bios";

// conformance: 42, 49
#[test]
fn bios_image_boots_after_boot_loader_update() {
    let lab = Lab::new();
    // What packages of a new kernel and a new GRUB do.
    let customize = json!([{ "type": "Shell", "inline": [
        fresh(),
        "test ! -e /sys/firmware/efi",
        "sudo update-grub",
        "grep -q 'linux.*root=UUID=' /boot/grub/grub.cfg",
        "disk=$(sudo debconf-show grub-pc | sed -n 's/.*install_devices: *//p')",
        "sudo grub-install \"$disk\""
    ]}]);
    let mut body: Value = serde_json::from_str(&template(&customize)).unwrap();
    let properties = body["properties"].as_object_mut().unwrap();
    properties["source"]["sku"] = json!("12");
    // Selects the default size, Standard_D1_v2.
    properties.remove("vmProfile");
    let gallery = json!({
        "type": "SharedImage", "runOutputName": "version", "galleryImageId": DEFINITION,
        "targetRegions": [{ "name": "local" }]
    });
    properties["distribute"].as_array_mut().unwrap().push(gallery.clone());
    let file = lab.write("bios.json", body.to_string());
    let built = lab.run(&["build", file.to_str().unwrap()]).ok();
    let result = built.event("result");
    assert!(text(&result["source"]).starts_with("Debian:debian-12:12:12."), "{result}");
    assert_eq!(built.event("sourceResolved")["source"], result["source"]);

    boots(&lab, "web");
    source_of_other_generation_is_rejected(&lab, &gallery);
    lab.assert_clean();
}

fn boots(lab: &Lab, image: &str) {
    let mut boot = lab.start(&["image", "boot", image]);
    let booting = boot.wait_for("the machine", |event| event["kind"] == "booting");
    let serial = text(&booting["serial"]);
    wait_for("the login prompt", Duration::from_secs(300), || {
        let bytes = std::fs::read(&serial).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains("localhost login:")
    });
    boot.signal(rustix::process::Signal::INT);
    boot.end_within(Duration::from_secs(10));
}

/// The first version set the definition to generation 1.
fn source_of_other_generation_is_rejected(lab: &Lab, gallery: &Value) {
    let mut other: Value = serde_json::from_str(&template(&json!([]))).unwrap();
    other["properties"]["distribute"] = json!([gallery]);
    let file = lab.write("other.json", other.to_string());
    let refused = lab.run(&["build", file.to_str().unwrap()]);
    assert_eq!(refused.code, 3, "{}", refused.stdout);
    let error = refused.event("error");
    assert_eq!(error["code"], "BadSharedImageDistribute", "{error}");
    assert!(text(&error["message"]).contains("hyperVGeneration V1"), "{error}");
    assert_eq!(refused.steps().len(), 1, "no machine was started");
}
