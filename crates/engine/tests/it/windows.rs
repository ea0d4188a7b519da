//! Builds of Windows templates on scripted guests: the order of a build, nodes, the machine, the
//! credentials.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use api::ErrorCode;
use engine::{
    build::{self, Report, SECURE_BOOT_TAG, TPM_TAG},
    node::NodeStore,
};
use images::{
    digest::Key,
    first_contact::{FirstContact, LoginFile},
    store::{Store, address::Address},
};
use serde_json::{Value, json};
use vm::{Door, Firmware, OsType, WindowsAccess};

use crate::matrix::{Bench, TARGET};

/// A template with all that Windows has.
fn everything() -> Value {
    json!({
        "customize": [
            { "type": "PowerShell", "name": "plain", "inline": ["exit 0"] },
            { "type": "WindowsRestart", "name": "restart" },
            { "type": "PowerShell", "name": "system", "runElevated": true, "runAsSystem": true,
              "inline": ["exit 0"] },
            { "type": "WindowsUpdate", "name": "update" }
        ],
        "validate": { "inVMValidations": [{ "type": "PowerShell", "inline": ["exit 0"] }] }
    })
}

async fn bench(first_contact: FirstContact) -> Bench {
    let mut bench = Bench::upon(first_contact).await;
    bench.also = everything();
    bench
}

impl Bench {
    async fn built(&self) -> Report {
        let _ = fs::remove_file(self.dir.path().join("out.raw"));
        self.build(&self.cx()).await.unwrap_or_else(|e| panic!("{e} {:?}", e.details))
    }

    fn first_boot(&self, report: &Report) -> PathBuf {
        self.layout.nodes().join(&report.nodes[0])
    }
}

#[tokio::test]
async fn template_with_every_kind_of_step_is_built_and_validated_as_windows() {
    let bench = bench(FirstContact::Unattend).await;
    let report = bench.built().await;
    assert_eq!(report.nodes.len(), 6, "a boot, four customizers, Sysprep");
    let starts = bench.starts();
    let [build, validate] = starts.as_slice() else { panic!("{starts:?}") };
    for machine in [build, validate] {
        assert_eq!(machine.os, OsType::Windows);
        assert_eq!(machine.access, None, "nothing there reads systemd credentials");
        assert!(machine.seed.is_some(), "each has a CD of its own");
        let ports: Vec<u16> = machine.forwards.iter().map(|(_, guest)| *guest).collect();
        assert!(ports.contains(&5986), "{ports:?}");
    }
    let image = Store::open(&bench.layout).at(&Address::parse(TARGET).unwrap()).unwrap().unwrap();
    assert_eq!(image.record.origin.os_type, "Windows");
    assert_eq!(image.record.origin.first_contact, FirstContact::Unattend);

    // The same build again takes nothing but nodes; a changed last step takes one machine.
    bench.built().await;
    assert_eq!(bench.starts().len(), 2);
    let mut bench = bench;
    bench.also["customize"][3]["updateLimit"] = json!(20);
    let again = bench.built().await;
    assert_eq!(again.nodes[..4], report.nodes[..4]);
    let starts = bench.starts();
    assert!(starts[2].resume_from.is_some(), "{:?}", starts[2]);
    assert_eq!(
        starts[2].seed.as_ref().unwrap().file_name(),
        build.seed.as_ref().unwrap().file_name()
    );
}

#[tokio::test]
async fn certificate_of_the_first_boot_is_kept_with_it_for_its_owner_only() {
    let bench = bench(FirstContact::Unattend).await;
    let report = bench.built().await;
    let path = bench.first_boot(&report).join("access.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    let stored: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let windows: WindowsAccess = serde_json::from_value(stored["windows"].clone()).unwrap();
    assert_eq!(windows.certificate.as_deref(), Some("00".repeat(32).as_str()));
    assert!(windows.door == Door::WinrmHttps && windows.password.len() >= 16);
}

#[tokio::test]
async fn password_of_a_specialized_image_stays_in_its_owners_file() {
    let dir = tempfile::tempdir().unwrap();
    let login = dir.path().join("login");
    fs::write(&login, "Administrator:their secret\n").unwrap();
    fs::set_permissions(&login, fs::Permissions::from_mode(0o600)).unwrap();
    let bench = bench(FirstContact::Specialized(LoginFile(login.clone()))).await;
    let report = bench.built().await;
    let [build, validate] = bench.starts().try_into().unwrap();
    assert_eq!(build.seed, None, "nothing is set up in it");
    assert!(validate.seed.is_some(), "its image is generalized");
    let text = fs::read_to_string(bench.first_boot(&report).join("access.json")).unwrap();
    assert!(text.contains("Administrator") && !text.contains("their secret"), "{text}");

    let mut bench = bench;
    bench.also["customize"][3]["updateLimit"] = json!(20);
    fs::remove_file(&login).unwrap();
    let _ = fs::remove_file(bench.dir.path().join("out.raw"));
    let error = bench.build(&bench.cx()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::HostNotReady, "{error}");
    assert!(error.message.contains("login"), "{error}");
}

#[tokio::test]
async fn tags_give_the_machine_secure_boot_and_a_tpm_and_nodes_of_their_own() {
    let bench = bench(FirstContact::Unattend).await;
    let plain = bench.built().await;
    let mut input = bench.input();
    for tag in [SECURE_BOOT_TAG, TPM_TAG] {
        input.template.tags.insert(tag.to_owned(), "true".to_owned());
    }
    let mut plan = build::resolve(&bench.cx(), input).await.unwrap();
    let mut host = bench.host.clone();
    // The firmware need not be installed here: the machines are scripted.
    host.secure_uefi = host.uefi.clone();
    let _ = fs::remove_file(bench.dir.path().join("out.raw"));
    plan.name = "trusted".to_owned();
    let request = bench.request();
    let report = build::build(&bench.cx(), &host, &bench.fake, &plan, &request).await.unwrap();
    assert_ne!(plain.nodes[0], report.nodes[0]);
    let starts = bench.starts();
    let trusted = &starts[starts.len() - 2];
    assert!(matches!(trusted.firmware, Firmware::Uefi { secure_boot: true, .. }), "{trusted:?}");
    assert_eq!(trusted.tpm.as_deref(), Some(trusted.run_dir.join("tpm").as_path()));
    let key = Key::parse(&report.nodes[0]).unwrap();
    let node = NodeStore::new(&bench.layout).get(&key).unwrap().unwrap();
    assert!(node.meta.shape.secure_boot && node.meta.shape.tpm);
}

#[tokio::test]
async fn tags_that_are_neither_true_nor_false_are_all_named() {
    let bench = bench(FirstContact::Unattend).await;
    let mut input = bench.input();
    for tag in [SECURE_BOOT_TAG, TPM_TAG] {
        input.template.tags.insert(tag.to_owned(), "maybe".to_owned());
    }
    let errors = build::resolve(&bench.cx(), input).await.unwrap_err();
    let text = format!("{} {:?}", errors[0], errors[0].details);
    assert!(text.contains(SECURE_BOOT_TAG) && text.contains(TPM_TAG), "{text}");
}
