use std::collections::BTreeMap;

use images::digest::{FORMAT, KeyBuilder};
use vm::RamFormat;

use super::*;
use crate::node::{Parent, Shape};

fn meta() -> NodeMeta {
    let key = KeyBuilder::new("source", "Boot").finish();
    NodeMeta {
        format: FORMAT,
        parent: Parent::Source("source".into()),
        kind: "Boot".into(),
        title: "first boot".into(),
        inputs: BTreeMap::new(),
        shape: Shape {
            os: vm::OsType::Linux,
            secure_boot: false,
            tpm: false,
            vcpus: 1,
            memory_mib: 1,
            disk_bytes: 1,
            uefi: false,
            data: Vec::new(),
            cpu: "max".into(),
        },
        created: jiff::Timestamp::now(),
        seconds: 0.0,
        since_ram_seconds: 0.0,
        ram: None,
        files: BTreeMap::new(),
        booted: key.clone(),
        key,
    }
}

fn saved(seconds: f64) -> Option<RamMeta> {
    Some(RamMeta {
        identity: "qemu".into(),
        machine_type: "q35".into(),
        cpu_model: "max".into(),
        format: Some(RamFormat::Stream),
        bytes: 1,
        seconds,
    })
}

fn since(tally: &Tally, at: Mark, ram: Option<RamMeta>) -> f64 {
    tally.complete(at, ram, meta()).since_ram_seconds
}

#[test]
fn one_save_at_a_time_and_the_necessary_one_takes_precedence() {
    let tally = Tally::new(0.0, 2.0);
    let boot = tally.add(30.0);
    assert!(tally.wants(Ram::IfWorthwhile));
    let first = CancellationToken::new();
    tally.begin(boot, Ram::Always, first.clone());
    let one = tally.add(30.0);
    assert!(!tally.wants(Ram::IfWorthwhile), "another one is being written");
    assert!(!tally.wants(Ram::Never));
    assert!(tally.wants(Ram::Always) && !first.is_cancelled(), "it waits");
    assert_eq!(since(&tally, boot, None), 30.0);
    assert!(tally.wants(Ram::IfWorthwhile), "the first one has failed");
    let second = CancellationToken::new();
    tally.begin(one, Ram::IfWorthwhile, second.clone());
    assert!(tally.wants(Ram::Always) && second.is_cancelled(), "it does not");
    assert_eq!(since(&tally, one, None), 60.0);
}

#[test]
fn saved_ram_resets_the_time_since_and_sets_the_cost() {
    let tally = Tally::new(5.0, 1.0);
    let one = tally.add(3.0);
    tally.begin(one, Ram::Always, CancellationToken::new());
    let two = tally.add(4.0);
    assert_eq!(since(&tally, one, saved(2.0)), 0.0);
    assert!(!tally.wants(Ram::IfWorthwhile), "4 s are not worth 2 s");
    assert_eq!(since(&tally, two, None), 4.0);
    let three = tally.add(1.0);
    assert!(tally.wants(Ram::IfWorthwhile), "5 s are");
    assert_eq!(since(&tally, three, None), 5.0);
}
