use super::*;
use crate::{Answer, Discard};

const SOON: Duration = Duration::from_millis(50);

fn spec(folder: &Path) -> MachineSpec {
    let disk = folder.join("disk.qcow2");
    fs::write(&disk, "disk").unwrap();
    MachineSpec {
        name: "fake".into(),
        run_dir: folder.to_owned(),
        os: crate::OsType::Linux,
        vcpus: 1,
        memory_mib: 512,
        firmware: Firmware::Bios,
        disk,
        data: Vec::new(),
        access: None,
        seed: None,
        cds: Vec::new(),
        forwards: vec![(0, 22)],
        bridge: None,
        resume_from: None,
        migratable: true,
        machine_type: None,
        tpm: None,
        cpu_model: None,
    }
}

async fn started(fake: &Fake, folder: &Path) -> (Box<dyn Machine>, Box<dyn Guest>) {
    let cancel = CancellationToken::new();
    let machine = fake.start(&spec(folder), &cancel).await.unwrap();
    let access = Access::generate("builder").unwrap();
    let guest = machine.connect(&access, SOON, &cancel).await.unwrap();
    (machine, guest)
}

#[tokio::test]
async fn last_matching_rule_answers_recorded_command() {
    let fake = Fake::new();
    let folder = tempfile::tempdir().unwrap();
    fake.on("make", Reaction::exit(1));
    fake.on("make install", Reaction::out("done\n").err("hm\n"));
    fake.on_call("sum", |_, stdin| Reaction::out(stdin.len().to_string()));
    let (_machine, guest) = started(&fake, folder.path()).await;
    let mut sink = Answer::default();
    assert!(guest.run("make install", Stdin::Empty, &mut sink).await.unwrap().success());
    assert_eq!(guest.run("make", Stdin::Empty, &mut sink).await.unwrap().code, Some(1));
    assert!(guest.run("true", Stdin::Empty, &mut sink).await.unwrap().success());
    let mut reader = &b"12345"[..];
    guest.run("sum", Stdin::Reader(&mut reader), &mut sink).await.unwrap();
    assert_eq!((sink.out.text().as_str(), sink.err.text().as_str()), ("done\n5", "hm\n"));
    assert_eq!(fake.commands(), ["make install", "make", "true", "sum"]);
}

#[tokio::test]
async fn guest_that_powers_off_ends_the_machine() {
    let fake = Fake::new();
    let folder = tempfile::tempdir().unwrap();
    let (machine, guest) = started(&fake, folder.path()).await;
    let error = machine.wait_off(SOON).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(guest.run("sudo poweroff", Stdin::Empty, &mut Discard).await.is_err());
    machine.gone().await;
    machine.wait_off(SOON).await.unwrap();
    assert_eq!(machine.ended(), Some(Ended::GuestShutdown));
}

#[tokio::test]
async fn hanging_command_ends_with_the_machine() {
    let fake = Fake::new();
    let folder = tempfile::tempdir().unwrap();
    fake.on("sleep", Reaction::then(Then::Hang));
    let (machine, guest) = started(&fake, folder.path()).await;
    let mut sink = Discard;
    let (result, stopped) =
        tokio::join!(guest.run("sleep", Stdin::Empty, &mut sink), machine.stop(Duration::ZERO));
    assert!(matches!(result.unwrap_err(), Error::Ssh { .. }));
    stopped.unwrap();
    assert!(fake.running().is_empty());
}

#[tokio::test]
async fn seal_creates_files_and_end_is_idempotent() {
    let fake = Fake::new();
    let folder = tempfile::tempdir().unwrap();
    let (machine, _guest) = started(&fake, folder.path()).await;
    let at = |name: &str| folder.path().join(name);
    let ram = crate::SaveRam { path: at("ram"), background: true, load_test: None };
    let seal = Seal {
        next_disk: at("next"),
        next_vars: None,
        next_data: vec![],
        tpm: None,
        ram: Some(ram),
    };
    let save = machine.seal(&seal).await.unwrap().ram.unwrap();
    assert_eq!(save.finish(&CancellationToken::new()).await.unwrap().bytes, 3);
    assert!(at("next").exists() && at("ram").exists());
    machine.leave_running();
    drop(machine);
    assert_eq!(fake.running(), [folder.path()]);
    fake.end(folder.path()).await.unwrap();
    fake.end(folder.path()).await.unwrap();
    assert!(fake.running().is_empty());
}

#[tokio::test]
async fn mishap_fails_only_its_call() {
    let fake = Fake::new();
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    fake.at(Point::Start, Mishap::Fail("no".into()));
    assert!(fake.start(&spec(folder.path()), &cancel).await.is_err());
    fake.at(Point::Start, Mishap::Hang);
    let machine_spec = spec(folder.path());
    let starting = fake.start(&machine_spec, &cancel);
    let (result, ()) = tokio::join!(starting, async { cancel.cancel() });
    assert!(matches!(result, Err(Error::Canceled)));
    fake.behave(Point::Start);
    let (machine, _guest) = started(&fake, folder.path()).await;
    fake.at(Point::Seal, Mishap::Gone(Ended::DiskFull));
    let next_disk = folder.path().join("next");
    let seal = Seal { next_disk, next_vars: None, next_data: vec![], tpm: None, ram: None };
    let error = machine.seal(&seal).await.unwrap_err();
    assert!(matches!(error, Error::Gone { ended: Ended::DiskFull, .. }), "{error:?}");
}
