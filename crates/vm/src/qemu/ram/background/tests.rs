use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    path::Path,
    sync::{Arc, Mutex},
};

use super::*;
use crate::{Accel, args};

/// A QEMU that answers by a script. The answers to a command are used up one after the other, and
/// the last one is repeated. Commands without a script succeed.
struct Peer {
    qmp: qmp::Client,
    asked: Arc<Mutex<Vec<String>>>,
    folder: tempfile::TempDir,
}

/// In place of an answer: QEMU exits.
const EXIT: &str = "exit";

impl Peer {
    async fn new(script: &[(&str, &[Value])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("qmp.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut script: Vec<(String, VecDeque<Value>)> =
            script.iter().map(|(name, all)| ((*name).to_owned(), all.to_vec().into())).collect();
        let log = asked.clone();
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            writeln!(stream, r#"{{"QMP":{{"version":{{}},"capabilities":[]}}}}"#).unwrap();
            for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
                let request: Value = serde_json::from_str(&line).unwrap();
                let name = request["execute"].as_str().unwrap();
                let arguments = &request["arguments"];
                log.lock().unwrap().push(match name {
                    "set-action" => format!("{name} {}", arguments["shutdown"].as_str().unwrap()),
                    _ => name.to_owned(),
                });
                let answers = script.iter_mut().find(|(of, _)| of == name).map(|(_, all)| all);
                let answer = match answers {
                    Some(all) if all.len() > 1 => all.pop_front().unwrap(),
                    Some(all) => all[0].clone(),
                    None => json!({}),
                };
                if answer == EXIT {
                    return;
                }
                let reply = match answer.get("class") {
                    Some(_) => json!({ "error": answer, "id": request["id"] }),
                    None => json!({ "return": answer, "id": request["id"] }),
                };
                writeln!(stream, "{reply}").unwrap();
            }
        });
        let qmp = qmp::Client::connect(&socket).await.unwrap();
        Self { qmp, asked, folder }
    }

    fn ram(&self) -> PathBuf {
        self.folder.path().join("ram")
    }

    async fn begin(&self) -> Result<Background, Error> {
        Background::begin(&self.qmp, &host(), self.ram()).await
    }

    fn count(&self, command: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|name| *name == command).count()
    }
}

fn host() -> Host {
    args::tests::host(Accel::Kvm)
}

fn migration(status: &str, pages: u64) -> Value {
    json!({ "status": status, "ram": { "normal": pages, "duplicate": 0 } })
}

fn entry(kind: &str) -> Value {
    json!([{ "type": kind }])
}

fn refusal() -> Value {
    json!({ "class": "GenericError", "desc": "not supported by host kernel" })
}

fn exists(path: &Path) -> bool {
    path.try_exists().unwrap()
}

#[tokio::test]
async fn state_is_captured_once_a_page_is_written() {
    let states = [
        json!({ "status": "setup" }),
        migration("active", 0),
        migration("active", 0),
        migration("active", 1),
    ];
    let peer = Peer::new(&[("query-migrate", &states)]).await;
    peer.begin().await.unwrap();
    assert_eq!(peer.count("query-migrate"), 4);
    assert!(exists(&peer.ram()));
}

#[tokio::test]
async fn refused_and_failed_captures_leave_no_file_and_no_trace() {
    let failed = [migration("active", 0), json!({ "status": "failed", "error-desc": "no uffd" })];
    let scripts: [&[(&str, &[Value])]; 2] =
        [&[("query-migrate", &failed)], &[("migrate", &[refusal()])]];
    for script in scripts {
        let peer = Peer::new(script).await;
        assert!(peer.begin().await.is_err());
        assert!(!exists(&peer.ram()));
        assert_eq!(peer.count("set-action pause"), 1);
        assert_eq!(peer.count("set-action poweroff"), 1);
        assert_eq!(peer.count("quit"), 0);
    }
}

#[tokio::test]
async fn save_ends_when_qemu_has_cleaned_up() {
    let states = [migration("active", 1), migration("active", 2), migration("completed", 3)];
    let yank = [entry("migration"), entry("migration"), entry("block-node")];
    let peer = Peer::new(&[("query-migrate", &states), ("query-yank", &yank)]).await;
    let save = peer.begin().await.unwrap();
    save.finish(&peer.qmp, &CancellationToken::new()).await.unwrap();
    assert!(exists(&peer.ram()));
    assert_eq!(peer.count("query-yank"), 3);
    assert_eq!(peer.count("migrate_cancel"), 0);
    assert_eq!(peer.asked.lock().unwrap().last().unwrap(), "query-status");
}

#[tokio::test]
async fn qemu_exits_after_the_save_if_its_guest_powered_off_meanwhile() {
    let states = [migration("active", 1), migration("completed", 3)];
    let status = [json!({ "status": "shutdown" })];
    let peer = Peer::new(&[("query-migrate", &states), ("query-status", &status)]).await;
    let save = peer.begin().await.unwrap();
    save.finish(&peer.qmp, &CancellationToken::new()).await.unwrap();
    assert!(exists(&peer.ram()));
    assert_eq!(peer.asked.lock().unwrap().last().unwrap(), "quit");
}

#[tokio::test]
async fn file_is_removed_when_qemu_ends_and_when_its_disk_is_full() {
    let full = json!({ "status": "failed", "error-desc": "No space left on device" });
    for end in [json!(EXIT), full] {
        let states = [migration("active", 1), end];
        let peer = Peer::new(&[("query-migrate", &states)]).await;
        let save = peer.begin().await.unwrap();
        assert!(save.finish(&peer.qmp, &CancellationToken::new()).await.is_err());
        assert!(!exists(&peer.ram()));
    }
}

#[tokio::test]
async fn abandoned_save_is_canceled_and_its_file_removed() {
    let peer = Peer::new(&[("query-migrate", &[migration("active", 1)])]).await;
    let save = peer.begin().await.unwrap();
    let give_up = CancellationToken::new();
    give_up.cancel();
    assert!(matches!(save.finish(&peer.qmp, &give_up).await, Err(Error::Canceled)));
    assert_eq!(peer.count("migrate_cancel"), 1);
    assert!(!exists(&peer.ram()));
}

#[tokio::test]
async fn unsupported_capability_is_reported_before_anything_happens() {
    let peer = Peer::new(&[("migrate-set-capabilities", &[refusal()])]).await;
    let error = allow(&peer.qmp, &host()).await.unwrap_err();
    assert!(error.to_string().contains("not supported by host kernel"), "{error}");
    assert_eq!(peer.count("migrate"), 0);
}
