//! A scripted QEMU for the tests of saves.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::{Accel, Host, args, qmp};

/// A QEMU that answers by a script. The answers to a command are used up one after the other, and
/// the last one is repeated. Commands without a script succeed.
pub(super) struct Peer {
    pub(super) qmp: qmp::Client,
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    folder: tempfile::TempDir,
}

/// In place of an answer: QEMU exits.
pub(super) const EXIT: &str = "exit";

impl Peer {
    pub(super) async fn new(script: &[(&str, &[Value])]) -> Self {
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

    pub(super) fn ram(&self) -> PathBuf {
        self.folder.path().join("ram")
    }

    pub(super) fn count(&self, command: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|name| *name == command).count()
    }
}

pub(super) fn host() -> Host {
    args::tests::host(Accel::Kvm)
}

pub(super) fn migration(status: &str, pages: u64) -> Value {
    json!({ "status": status, "ram": { "normal": pages, "duplicate": 0 } })
}

pub(super) fn entry(kind: &str) -> Value {
    json!([{ "type": kind }])
}

pub(super) fn refusal() -> Value {
    json!({ "class": "GenericError", "desc": "not supported by host kernel" })
}

pub(super) fn exists(path: &Path) -> bool {
    path.try_exists().unwrap()
}
