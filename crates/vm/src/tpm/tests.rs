use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::qemu;

#[test]
fn emulator_is_known_by_its_environment() {
    let (run, line) = (Path::new("/data/runs/1"), b"/usr/bin/swtpm\0socket\0--tpm2\0");
    assert!(is_of(run, line, b"PATH=/bin\0GOLDSMITH_RUN_DIR=/data/runs/1\0"));
    assert!(!is_of(run, line, b"GOLDSMITH_RUN_DIR=/data/runs/10\0"));
    assert!(!is_of(run, b"tail\0swtpm\0", b"GOLDSMITH_RUN_DIR=/data/runs/1\0"));
    assert!(!is_of(run, b"", b""));
}

#[test]
fn state_is_copied_without_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    for name in [".lock", "tpm2-00.permall"] {
        fs::write(from.join(name), name).unwrap();
    }
    copy_state(&from, &to).unwrap();
    let names: Vec<_> =
        fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["tpm2-00.permall"]);
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(copy_state(&from, &to).is_err(), "never over an older state");
}

#[tokio::test]
async fn lost_emulator_is_found_and_ended() {
    if find_program(PROGRAM).is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // A comma would end the option that names the folder.
    let (run, state) = (dir.path().join("run"), dir.path().join("state,1"));
    fs::create_dir(&run).unwrap();
    let tpm = Tpm::start(&run, &state).await.unwrap();
    let ended = tpm.0.ended();
    assert!(!tpm.0.has_ended());
    qemu::end(&dir.path().join("other")).await.unwrap();
    assert!(!tpm.0.has_ended());
    drop(tpm);
    qemu::end(&run).await.unwrap();
    tokio::time::timeout(QUIT, ended).await.unwrap();
    assert!(!run.join(SOCKET).exists());
}
