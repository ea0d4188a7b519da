//! Bad input that fails only on a machine, and imported images.

use e2e::{Lab, template, text};
use serde_json::{Value, json};

fn qemu_img(arguments: &[&str], lab: &Lab) {
    let status = std::process::Command::new("qemu-img")
        .args(arguments)
        .current_dir(lab.path())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn guest_that_never_boots_fails_with_screenshot_and_console() {
    let lab = Lab::new();
    qemu_img(&["create", "-q", "-f", "qcow2", "empty.qcow2", "64M"], &lab);
    let imported = lab.run(&["image", "import", "empty", "empty.qcow2"]).ok().event("imported");
    let mut value: Value = serde_json::from_str(&template(&json!([]))).unwrap();
    value["properties"]["source"] =
        json!({ "type": "ManagedImage", "imageId": imported["image"]["id"] });
    let file = lab.write("a.json", value.to_string());
    let done = lab.run(&["build", file.to_str().unwrap(), "--boot-timeout", "20s"]);
    assert_eq!(done.code, 5, "{}", done.stderr);
    let error = done.event("error");
    assert_eq!(error["code"], "BootTimeout", "{error}");
    let screenshot = error["details"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|line| text(line).strip_prefix("screenshot: ").map(str::to_owned));
    let png = std::fs::read(screenshot.expect("a screenshot")).unwrap();
    assert!(png.starts_with(b"\x89PNG"), "the screenshot is a PNG");
    lab.assert_clean();
}

#[test]
fn image_with_backing_file_is_rejected() {
    let lab = Lab::new();
    qemu_img(&["create", "-q", "-f", "raw", "secret.raw", "1M"], &lab);
    qemu_img(&["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "secret.raw", "a.qcow2"], &lab);
    let done = lab.run(&["image", "import", "a", "a.qcow2"]);
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert_eq!(done.event("error")["code"], "BadImage");
    assert!(
        lab.run(&["image", "ls"]).ok().event("images")["images"].as_array().unwrap().is_empty()
    );
}
