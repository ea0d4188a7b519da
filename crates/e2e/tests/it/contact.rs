//! First contact: by systemd credentials and by cloud-init, with the same result; and images whose
//! cloud-init lets nobody in.

use e2e::{Lab, fresh, template, text};
use serde_json::{Value, json};

use super::listing::{self, Files};

/// The paths that differ, as docs/guide.md lists and explains them.
const EXPLAINED: [&str; 3] = [
    // Cloud-init takes it from everybody but root, on its users' machines too.
    "/etc/sudoers.d",
    // Cloud-init's folder, which is empty.
    "/var/lib/cloud",
    // The record of boot and shutdown, with their times: it differs between any two builds.
    "/var/log/wtmp",
];

/// Where Debian's daily tasks write. They run at midnight, so one of two builds may have run them: their
/// timers are stopped once the build is in the machine, but a boot can cross midnight.
const DAILY: [&str; 4] = [
    // By dpkg-db-backup.
    "/var/backups/",
    // By man-db.
    "/var/cache/man/",
    // By logrotate: when it last saw each log.
    "/var/lib/logrotate/",
    // By systemd: when it last ran each of them.
    "/var/lib/systemd/timers/",
];

/// Prints the timers of those tasks that still wait. Runs the tasks in the build by cloud-init only, as if
/// its boot had crossed midnight.
const MIDNIGHT: &str = r#"
systemctl list-units --no-legend --plain dpkg-db-backup.timer logrotate.timer man-db.timer > waiting
test ! -s waiting || { cat waiting; exit 1; }
if cloud-init status | grep disabled; then exit; fi
for task in dpkg-db-backup logrotate man-db; do
    test ! -e /lib/systemd/system/$task.service || sudo systemctl start $task.service
done
test -s /var/backups/dpkg.status.0
sudo test -s /var/lib/logrotate/status
"#;

#[tokio::test(flavor = "multi_thread")]
async fn image_is_the_same_whether_credentials_or_cloud_init_let_the_build_in() {
    let lab = Lab::new();
    // The scripts leave something that depends on the user's number and on its home.
    let customizers = json!([{ "type": "Shell", "name": "same", "inline": [
        format!(": {}", fresh()),
        "sudo useradd --create-home somebody",
        "touch /tmp/mine && sudo mv /tmp/mine /opt/mine && sudo chown root: /opt/mine",
        "cloud-init status --wait",
        MIDNIGHT
    ]}]);
    let file = lab.write("same.json", template(&customizers));
    let file = file.to_str().unwrap();
    let built = |export: &str, more: &[&str]| {
        let export_to = format!("qcow2={export}");
        let arguments = [&["build", file, "--export", &export_to][..], more].concat();
        (lab.run(&arguments).ok(), lab.path().join(export))
    };
    let (by_credentials, one) = built("credentials.qcow2", &[]);
    let (by_cloud_init, other) = built("cloud-init.qcow2", &["--cloud-init"]);
    let status = |done: &e2e::Done| {
        let lines = done.events().into_iter().filter(|event| event["kind"] == "stepOutput");
        lines.map(|event| text(&event["text"])).find(|text| text.starts_with("status:")).unwrap()
    };
    assert_eq!(status(&by_credentials), "status: disabled", "it returns, and did not run");
    assert_eq!(status(&by_cloud_init), "status: done");
    let reader = lab.path().join("reader");
    std::fs::create_dir(&reader).unwrap();
    let digest = text(&by_credentials.event("sourceResolved")["digest"]);
    let source = lab.cache().join("sources").join(digest);
    let files = listing::of_images(&reader, &source, &[one, other]).await;
    assert!(files[0].contains_key("/opt/mine"), "{:?}", files[0]);
    let differing = differences(&files[0], &files[1]);
    assert!(
        files[1].contains_key("/var/backups/dpkg.status.0"),
        "the daily tasks ran in one build"
    );
    let unexplained: Vec<&String> = differing
        .iter()
        .filter(|line| {
            let path = line.split(' ').next().unwrap_or_default();
            !EXPLAINED.contains(&path) && !DAILY.iter().any(|folder| path.starts_with(folder))
        })
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    lab.assert_clean();
}

/// A line for each path that is not the same in both.
fn differences(one: &Files, other: &Files) -> Vec<String> {
    let paths: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let missing = "absent".to_owned();
    let line = |path: &String| {
        let (a, b) = (one.get(path).unwrap_or(&missing), other.get(path).unwrap_or(&missing));
        (a != b).then(|| format!("{path} by credentials: {a}; by cloud-init: {b}"))
    };
    paths.into_iter().filter_map(line).collect()
}

#[test]
fn image_whose_cloud_init_is_bound_elsewhere_is_validated_and_built_upon() {
    let lab = Lab::new();
    let customizers = json!([{ "type": "Shell", "name": "bind", "inline": [
        format!(": {}", fresh()),
        "echo 'datasource_list: [Azure]' | sudo tee /etc/cloud/cloud.cfg.d/90-elsewhere.cfg"
    ]}]);
    let mut value: Value = serde_json::from_str(&template(&customizers)).unwrap();
    let validator =
        json!({ "type": "Shell", "inline": ["test -e /etc/cloud/cloud.cfg.d/90-elsewhere.cfg"] });
    value["properties"]["validate"] = json!({ "inVMValidations": [validator] });
    let file = lab.write("bound.json", value.to_string());
    let built = lab.run(&["build", file.to_str().unwrap()]).ok();
    let image = built.event("result")["outputs"][0]["artifactId"].clone();

    value["properties"]["source"] = json!({ "type": "ManagedImage", "imageId": image });
    value["properties"].as_object_mut().unwrap().remove("validate");
    let file = lab.write("upon.json", value.to_string());
    let upon = lab.run(&["build", file.to_str().unwrap()]).ok();
    let warned = upon.events().iter().any(|event| event["kind"] == "warning");
    assert!(!warned, "entered at the first try: {}", upon.stdout);
    lab.assert_clean();
}
