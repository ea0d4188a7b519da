//! Saves a machine's RAM to a file and loads it: QEMU's migration through a file.
//!
//! With *mapped-ram* every page has a fixed offset in the file, so the file is sparse and several
//! threads write at once. Before QEMU 9 only the plain stream exists.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::qmp_error;
use crate::{Error, may_wait, qmp};

/// Faster than any disk. The default limit is meant for networks and would dominate the time.
const BANDWIDTH: u64 = 1 << 40;
const CHANNELS: u32 = 2;
/// The name in QEMU of a file that we passed.
const PASSED: &str = "ram";
/// A migration that takes longer is stuck.
const DEADLINE: Duration = Duration::from_secs(600);
/// Polls in case an event was missed.
const POLL: Duration = Duration::from_secs(1);
/// The end of a migration's cleanup has no event, so it is polled.
const RESUME_POLL: Duration = Duration::from_millis(2);
const CLEANUP_LIMIT: Duration = Duration::from_secs(30);

/// Saves the RAM of a paused machine. Returns the bytes that the file takes on the disk.
pub(super) async fn save(qmp: &qmp::Client, path: &Path, mapped: bool) -> Result<u64, Error> {
    let file = may_wait(|| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path));
    let file = file.map_err(Error::at(path))?;
    prepare(qmp, mapped).await?;
    let address = address(qmp, path, &file, mapped).await?;
    let saved = finish(qmp, "migrate", address).await;
    wait_until_runnable(qmp).await?;
    saved?;
    let meta = may_wait(|| file.metadata()).map_err(Error::at(path))?;
    Ok(meta.blocks() * 512)
}

/// Loads RAM into a machine that was started with `-incoming`. The machine stays paused.
pub(super) async fn load(qmp: &qmp::Client, path: &Path, mapped: bool) -> Result<(), Error> {
    let file = may_wait(|| File::open(path)).map_err(Error::at(path))?;
    prepare(qmp, mapped).await?;
    let address = address(qmp, path, &file, mapped).await?;
    finish(qmp, "migrate-incoming", address).await?;
    wait_until_runnable(qmp).await
}

/// Mapped-ram needs a path, because several threads open the file. The plain stream uses our open
/// file, which every release of QEMU supports.
async fn address(
    qmp: &qmp::Client,
    path: &Path,
    file: &File,
    mapped: bool,
) -> Result<Value, Error> {
    if !mapped {
        qmp.pass_file(PASSED, file).await.map_err(|e| qmp_error("getfd", &e))?;
        return Ok(json!({ "uri": format!("fd:{PASSED}") }));
    }
    let address = json!({ "transport": "file", "filename": path, "offset": 0 });
    Ok(json!({ "channels": [{ "channel-type": "main", "addr": address }] }))
}

async fn prepare(qmp: &qmp::Client, mapped: bool) -> Result<(), Error> {
    let on = |name: &str| json!({ "capability": name, "state": true });
    let mut capabilities = vec![on("events")];
    let mut parameters = json!({ "max-bandwidth": BANDWIDTH });
    if mapped {
        capabilities.extend([on("mapped-ram"), on("multifd")]);
        parameters["multifd-channels"] = CHANNELS.into();
    }
    for (command, arguments) in [
        ("migrate-set-capabilities", json!({ "capabilities": capabilities })),
        ("migrate-set-parameters", parameters),
    ] {
        qmp.execute(command, arguments).await.map_err(|e| qmp_error(command, &e))?;
    }
    Ok(())
}

/// Starts a migration in either direction and waits for its end.
async fn finish(qmp: &qmp::Client, command: &str, arguments: Value) -> Result<(), Error> {
    let mut events = qmp.events();
    qmp.execute(command, arguments).await.map_err(|e| qmp_error(command, &e))?;
    let work = async {
        loop {
            match tokio::time::timeout(POLL, events.recv()).await {
                Ok(Ok(event)) if event.name != "MIGRATION" => continue,
                Ok(Err(RecvError::Closed)) => return Err(gone(command)),
                Ok(Ok(_) | Err(RecvError::Lagged(_))) | Err(_) => {}
            }
            let state = qmp.execute("query-migrate", json!({})).await;
            let state = state.map_err(|e| qmp_error("query-migrate", &e))?;
            match state["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    let desc = state["error-desc"].as_str().unwrap_or("no reason given").to_owned();
                    return Err(Error::Qmp { command: command.to_owned(), desc });
                }
                _ => {}
            }
        }
    };
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::Qmp {
            command: command.to_owned(),
            desc: format!("not complete after {} s", DEADLINE.as_secs()),
        }),
    }
}

/// Waits until the machine may run again. QEMU reports the end of a migration shortly before it has
/// cleaned up, and rejects `cont` until then.
async fn wait_until_runnable(qmp: &qmp::Client) -> Result<(), Error> {
    let work = async {
        loop {
            let state = qmp.execute("query-status", json!({})).await;
            let state = state.map_err(|e| qmp_error("query-status", &e))?;
            match state["status"].as_str() {
                Some("finish-migrate" | "inmigrate") => tokio::time::sleep(RESUME_POLL).await,
                _ => return Ok(()),
            }
        }
    };
    match tokio::time::timeout(CLEANUP_LIMIT, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::Qmp {
            command: "query-status".to_owned(),
            desc: format!("the migration is not finalized after {} s", CLEANUP_LIMIT.as_secs()),
        }),
    }
}

fn gone(command: &str) -> Error {
    Error::Qmp { command: command.to_owned(), desc: "QEMU ended".to_owned() }
}
