use super::*;

#[test]
fn version_text_is_parsed_and_ordered() {
    let debian = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright";
    let version = Version::parse(debian).unwrap();
    assert_eq!(version.to_string(), "10.0.2");
    assert_eq!(Version::parse("qemu-img version 9.2.50").unwrap().to_string(), "9.2.50");
    assert!(Version::parse("version 7.2").unwrap() < version);
    assert!(Version::parse("something else").is_none());
}

#[test]
fn newest_machine_type_is_chosen_by_number() {
    let help = "pc-q35-9.2    Standard PC\nq35   alias of pc-q35-10.0\npc-q35-10.0  Standard PC\n\
                pc-i440fx-11.0  Old\npc-q35-rhel7.6.0 odd\npc-q35-2.4 deprecated\n";
    assert_eq!(newest_q35(help).as_deref(), Some("pc-q35-10.0"));
    assert_eq!(newest_q35("none"), None);
}

#[test]
fn kvm_needs_device_and_processor_support() {
    let with = "processor\t: 0\nflags\t\t: fpu vmx sse\n";
    let without = "processor\t: 0\nflags\t\t: fpu vmxnot sse\n";
    let device = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(working_accel(device.path(), with), Accel::Kvm);
    let Accel::Tcg { why } = working_accel(device.path(), without) else { panic!() };
    assert!(why.contains("neither vmx nor svm"), "{why}");
    let Accel::Tcg { why } = working_accel(Path::new("/no/such/kvm"), with) else { panic!() };
    assert!(why.contains("does not exist"), "{why}");
}

#[test]
fn kvm_remedy_matches_the_cause() {
    use std::io::{Error, ErrorKind};
    let device = Path::new("/dev/kvm");
    let advice = |opened: std::io::Result<()>, has_virtualization| {
        classify_kvm(device, opened, has_virtualization)
            .map_err(|(cause, why)| (cause.remedy(), why))
    };
    let failed = |kind: ErrorKind| Err(Error::from(kind));
    assert_eq!(advice(Ok(()), true), Ok(()));
    for (opened, has_virtualization, remedy, says) in [
        (failed(ErrorKind::PermissionDenied), true, "usermod -aG kvm", "cannot open /dev/kvm"),
        (failed(ErrorKind::NotFound), true, "modprobe kvm_intel", "/dev/kvm does not exist"),
        (failed(ErrorKind::NotFound), false, "VT-x", "neither vmx nor svm"),
        (Ok(()), false, "VT-x", "neither vmx nor svm"),
        (failed(ErrorKind::ResourceBusy), true, "dmesg", "cannot open /dev/kvm"),
    ] {
        let (advised, why) = advice(opened, has_virtualization).unwrap_err();
        assert!(advised.contains(remedy) && why.contains(says), "{advised} / {why}");
    }
}

#[test]
fn memory_size_is_parsed() {
    assert_eq!(memory_mib("MemTotal:       24586936 kB\nMemFree: 1 kB"), 24010);
    assert_eq!(memory_mib(""), 0);
    assert!(cpus() > 0);
    let (usable, _) = usable_memory_mib();
    assert!(usable > 0);
}

const PLAIN: &str = r#"{"interface-types":["uefi"],"mapping":{"device":"flash",
    "executable":{"filename":"/fw/CODE.fd","format":"raw"},
    "nvram-template":{"filename":"/fw/VARS.fd","format":"raw"}},
    "targets":[{"architecture":"x86_64","machines":["pc-q35-*"]}],"features":["acpi-s3"]}"#;

fn root_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

#[test]
fn firmware_with_secure_boot_is_skipped() {
    let secure = PLAIN.replace("acpi-s3", "requires-smm").replace("CODE", "SECURE");
    let root = root_with(&[
        ("usr/share/qemu/firmware/40-secure.json", &secure),
        ("usr/share/qemu/firmware/60-plain.json", PLAIN),
        ("fw/CODE.fd", ""),
        ("fw/SECURE.fd", ""),
        ("fw/VARS.fd", ""),
    ]);
    let firmware = firmware::find(root.path()).unwrap();
    assert_eq!(firmware.code, root.path().join("fw/CODE.fd"));
    assert_eq!(firmware.vars, root.path().join("fw/VARS.fd"));
}

#[test]
fn firmware_with_missing_files_is_skipped() {
    let root = root_with(&[
        ("usr/share/qemu/firmware/60-plain.json", PLAIN),
        ("usr/share/OVMF/OVMF_CODE_4M.fd", ""),
        ("usr/share/OVMF/OVMF_VARS_4M.fd", ""),
    ]);
    let firmware = firmware::find(root.path()).unwrap();
    assert!(firmware.code.ends_with("OVMF_CODE_4M.fd"), "{firmware:?}");
    assert!(firmware::find(root_with(&[]).path()).is_none());
}

#[test]
fn firmware_description_in_etc_hides_the_distribution() {
    let root = root_with(&[
        ("usr/share/qemu/firmware/60-plain.json", PLAIN),
        ("etc/qemu/firmware/60-plain.json", ""),
        ("fw/CODE.fd", ""),
        ("fw/VARS.fd", ""),
    ]);
    assert!(firmware::find(root.path()).is_none());
}

#[tokio::test]
async fn doctor_gives_a_remedy_for_every_shortcoming() {
    let findings = doctor(&Host::probe(None).await).await;
    for finding in &findings {
        assert!(finding.ok || finding.remedy.is_some(), "{finding:?}");
    }
    for what in ["UEFI firmware", "mmdebstrap", "mcopy", "systemd-boot", "memory", "processors"] {
        assert!(findings.iter().any(|finding| finding.what == what), "{what}");
    }
}
