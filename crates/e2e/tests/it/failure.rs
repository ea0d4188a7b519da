//! Builds that fail in the guest report the first error and its step, and leave nothing behind.

use e2e::{Done, Lab, fresh, skip_without_root, template, text};
use serde_json::{Value, json};

fn build(lab: &Lab, customize: &Value) -> Done {
    let file = lab.write("a.json", template(customize));
    let done = lab.run(&["build", file.to_str().unwrap()]);
    lab.assert_clean();
    done
}

fn details(error: &Value) -> String {
    let lines = error["details"].as_array().cloned().unwrap_or_default();
    lines.iter().map(text).collect::<Vec<_>>().join("\n")
}

// conformance: 51
#[test]
fn failed_script_reports_exit_status_and_last_lines() {
    let lab = Lab::new();
    let done = build(
        &lab,
        &json!([{ "type": "Shell", "name": "breaks", "inline": [
            fresh(), "echo almost there", "echo it went wrong >&2", "exit 3", "echo never"
        ]}]),
    );
    assert_eq!(done.code, 5, "{}", done.stderr);
    let error = done.event("error");
    assert_eq!(error["code"], "CustomizerFailed");
    assert_eq!(error["target"], "properties.customize[0]");
    assert!(text(&error["message"]).contains("\"breaks\""), "{error}");
    assert!(text(&error["message"]).contains("status 3"), "{error}");
    assert!(details(&error).contains("it went wrong"), "{error}");
    assert!(details(&error).contains("serial.log"), "{error}");
    assert!(!done.stdout.contains("never"));
}

#[test]
fn guest_shutdown_in_a_step_differs_from_a_failure() {
    let lab = Lab::new();
    // In the middle of a script, and as the last action of a script that succeeds.
    for rest in ["sleep 300", "true"] {
        let script = json!([fresh(), "sudo systemctl poweroff", rest]);
        let done = build(&lab, &json!([{ "type": "Shell", "inline": script }]));
        assert_eq!(done.code, 5, "{}", done.stderr);
        let error = done.event("error");
        assert_eq!(error["code"], "GuestStopped", "{rest}: {error}");
        assert_eq!(error["step"], "customize[0]", "{rest}: {error}");
    }
}

// conformance: 59, 60
#[test]
fn file_into_missing_folder_or_root_owned_path_fails() {
    let lab = Lab::new();
    lab.write("f", "content");
    for destination in ["/nowhere/f", "/etc/f"] {
        let first = json!({ "type": "Shell", "inline": [fresh()] });
        let file = json!({ "type": "File", "sourceUri": "f", "destination": destination });
        let done = build(&lab, &json!([first, file]));
        assert_eq!(done.code, 5, "{}", done.stderr);
        let error = done.event("error");
        assert_eq!(error["target"], "properties.customize[1]");
        assert!(text(&error["message"]).contains(destination), "{error}");
    }
}

#[test]
fn leftover_of_the_build_in_the_image_fails_the_build() {
    let lab = Lab::new();
    let copy = "sudo sh -c 'mkdir -p /root/.ssh; cat /run/goldsmith/authorized_keys >> /root/.ssh/authorized_keys2'";
    let done = build(&lab, &json!([{ "type": "Shell", "inline": [fresh(), copy] }]));
    assert_eq!(done.code, 5, "{}", done.stderr);
    let error = done.event("error");
    assert_eq!(error["code"], "LeftoverFound", "{error}");
    assert!(text(&error["message"]).contains("/root/.ssh/authorized_keys2"), "{error}");
    assert!(!lab.data().join("images").join("managed").exists(), "nothing was distributed");
}

#[test]
fn build_timeout_names_the_field_of_the_limit() {
    let lab = Lab::new();
    let script = json!({ "type": "Shell", "inline": [fresh(), "sleep 600"] });
    let mut value: Value = serde_json::from_str(&template(&json!([script]))).unwrap();
    value["properties"]["buildTimeoutInMinutes"] = json!(1);
    let file = lab.write("a.json", value.to_string());
    // The first boot has its own deadline within the minute, so it is cached before.
    let warm = lab.write("warm.json", template(&json!([])));
    lab.run(&["build", warm.to_str().unwrap()]).ok();
    let done = lab.run(&["build", file.to_str().unwrap()]);
    assert_eq!(done.code, 5, "{}", done.stderr);
    let error = done.event("error");
    assert_eq!(error["code"], "BuildTimeout", "{error}");
    assert!(text(&error["hint"]).contains("buildTimeoutInMinutes"), "{error}");
    lab.assert_clean();
}

/// A small mounted file system; `None` without permission to mount.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: std::path::PathBuf, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(&at)
            .status();
        status.is_ok_and(|status| status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn full_disk_in_a_step_is_reported_as_disk_full() {
    let lab = Lab::new();
    let warm = lab.write("warm.json", template(&json!([])));
    lab.run(&["build", warm.to_str().unwrap()]).ok();
    let Some(small) = SmallDisk::mount(lab.path().join("small"), 900) else {
        return skip_without_root("mounting a small file system needs root");
    };
    let shared = lab.cache().join("sources");
    let lab = lab.with_cache(small.0.clone());
    // Source images come from the shared cache; new files go to the small disk.
    std::fs::create_dir(small.0.join("sources")).unwrap();
    for entry in std::fs::read_dir(shared).unwrap().map(Result::unwrap) {
        if !entry.file_name().to_string_lossy().starts_with('.') {
            let link = small.0.join("sources").join(entry.file_name());
            std::os::unix::fs::symlink(entry.path(), link).unwrap();
        }
    }
    let script = json!([fresh(), "dd if=/dev/urandom of=fill bs=1M count=1500", "sync"]);
    let file = lab.write("a.json", template(&json!([{ "type": "Shell", "inline": script }])));
    let done = lab.run(&["build", file.to_str().unwrap()]);
    assert_eq!(done.code, 4, "{}\n{}", done.stdout, done.stderr);
    let error = done.event("error");
    assert_eq!(error["code"], "DiskFull", "{error}");
    assert_eq!(error["step"], "customize[0]", "{error}");
    lab.assert_clean();
}
