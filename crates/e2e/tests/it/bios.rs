//! A source that boots by BIOS: built upon, changed by its own boot loader's tools, booted.

use e2e::{Lab, fresh, template, text};
use serde_json::{Value, json};

// conformance: 42, 49
#[test]
fn an_image_that_boots_by_bios_goes_on_booting_after_its_loader_was_updated() {
    let lab = Lab::new();
    // What a new kernel, and a new GRUB, do on the machine.
    let customize = json!([{ "type": "Shell", "inline": [
        fresh(),
        "test ! -e /sys/firmware/efi",
        "sudo update-grub",
        "grep -q 'linux.*root=UUID=' /boot/grub/grub.cfg",
        "sudo debconf-show grub-pc | grep 'install_devices:.*/dev/'",
        "sudo grub-install \"$(lsblk -ndo PATH -I 253,254 | head -1)\"",
        "sudo touch /etc/built-by-bios"
    ]}]);
    let mut made: Value = serde_json::from_str(&template(&customize)).unwrap();
    made["properties"]["source"]["sku"] = json!("12");
    // The size that is taken where none is given: Standard_D1_v2.
    made["properties"].as_object_mut().unwrap().remove("vmProfile");
    let file = lab.write("bios.json", made.to_string());
    let built = lab.run(&["build", file.to_str().unwrap()]).ok();
    let result = built.event("result");
    assert!(text(&result["source"]).starts_with("Debian:debian-12:12:12."), "{result}");
    let resolved = built.event("sourceResolved");
    assert_eq!(resolved["source"], result["source"]);

    // The result boots, and is built upon: its definition keeps to its generation.
    let definition =
        "/subscriptions/s/resourceGroups/forge/providers/Microsoft.Compute/galleries/g/images/bios";
    let mut child: Value = serde_json::from_str(&template(&json!([{
        "type": "Shell", "inline": [fresh(), "test -e /etc/built-by-bios", "test ! -e /sys/firmware/efi"]
    }])))
    .unwrap();
    child["properties"]["source"] = json!({ "type": "ManagedImage", "imageId": made["properties"]["distribute"][0]["imageId"] });
    child["properties"]["distribute"] = json!([{
        "type": "SharedImage", "runOutputName": "v", "galleryImageId": definition,
        "targetRegions": [{ "name": "local" }]
    }]);
    let file = lab.write("child.json", child.to_string());
    lab.run(&["build", file.to_str().unwrap()]).ok();

    let mut other: Value = serde_json::from_str(&template(&json!([]))).unwrap();
    other["properties"]["distribute"] = child["properties"]["distribute"].clone();
    let file = lab.write("other.json", other.to_string());
    let refused = lab.run(&["build", file.to_str().unwrap()]);
    assert_eq!(refused.code, 3, "{}", refused.stdout);
    let error = refused.event("error");
    assert_eq!(error["code"], "BadSharedImageDistribute");
    assert!(text(&error["message"]).contains("hyperVGeneration V1"), "{error}");
    lab.assert_clean();
}
