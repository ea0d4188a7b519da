//! Commands with too few descriptors: a file that cannot be opened is an error, never absent.

use std::{fs, process::Command};

use crate::{Sandbox, stderr, stdout};

const KEY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const RUN: &str = "019317a0-0000-7000-8000-000000000001";

/// A sandbox with a node, an image, and a run that holds a resource.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let root = sandbox.dir.path();
    let node = root.join("cache/nodes").join(KEY);
    fs::create_dir_all(&node).unwrap();
    let meta = format!(
        r#"{{"format":1,"key":"{KEY}","parent":{{"source":"{KEY}"}},"kind":"Boot","title":"boot","inputs":{{}},
            "shape":{{"vcpus":1,"memoryMib":512,"diskBytes":1048576,"uefi":true,"cpu":"host"}},
            "created":"2026-01-01T00:00:00Z","seconds":1,"sinceRamSeconds":1,"ram":null,"booted":"{KEY}"}}"#
    );
    fs::write(node.join("node.json"), meta).unwrap();
    let disk = root.join("disk.qcow2");
    let created = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(&disk)
        .arg("4M")
        .status();
    assert!(created.unwrap().success());
    let imported = sandbox.run(&["image", "import", "web", disk.to_str().unwrap()]);
    assert!(imported.status.success(), "{}", stderr(&imported));
    let ledger = root.join("data/ledger").join(RUN);
    fs::create_dir_all(&ledger).unwrap();
    let row = r#"{"held":{"kind":"partialFile","path":"/nowhere/x.partial"},"keepUntil":"2999-01-01T00:00:00Z"}"#;
    fs::write(ledger.join("000001.json"), row).unwrap();
    sandbox
}

#[test]
fn list_with_too_few_descriptors_is_complete_or_an_error() {
    let sandbox = sandbox();
    for (words, holds) in
        [(["image", "ls"], "images/web"), (["cache", "ls"], KEY), (["ledger", "ls"], RUN)]
    {
        let list = [words[0], words[1], "--output", "json"];
        let whole = stdout(&sandbox.run(&list));
        assert!(whole.contains(holds), "{whole}");
        let (mut failed, mut succeeded) = (0, 0);
        for most in 4..24 {
            let mut limited = Command::new("prlimit");
            let command = sandbox.command();
            limited.arg(format!("--nofile={most}")).arg(command.get_program()).args(list);
            for (name, value) in command.get_envs() {
                limited.env(name, value.unwrap());
            }
            let output = limited.output().unwrap();
            if output.status.success() {
                // Warnings may precede the list.
                assert!(stdout(&output).ends_with(&whole), "{most}: {}", stdout(&output));
                succeeded += 1;
            } else {
                failed += 1;
            }
        }
        assert!(failed > 0 && succeeded > 0, "{words:?}: {failed} and {succeeded}");
        assert_eq!(stdout(&sandbox.run(&list)), whole, "nothing was removed meanwhile");
    }
}
