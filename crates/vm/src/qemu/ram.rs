//! Saves a machine's RAM to a file and loads it: QEMU's migration through a file.
//!
//! A *background* save ([`background`]) writes the state at its beginning, as a plain stream, while
//! the next step runs. A *live* save ([`live`]) writes the state at its end and pauses the guest for
//! the rest, in the format *mapped-ram*: every page has a fixed offset in the file, so the file is
//! sparse and several threads access it. Before QEMU 9 only the plain stream exists. QEMU accepts
//! mapped-ram for a background save as well, and then writes a file that it cannot load.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};

use super::qmp_error;
use crate::{Error, Host, RamFile, RamFormat, may_wait, qmp};

pub(super) mod background;
pub(super) mod live;
#[cfg(test)]
mod peer;
mod save;

pub(super) use save::Save;

/// Faster than any disk. The default limit is meant for networks and would dominate the time.
const BANDWIDTH: u64 = 1 << 40;
const CHANNELS: u32 = 2;
/// The name in QEMU of a file that we passed.
const PASSED: &str = "ram";
/// A migration that takes longer is stuck.
const DEADLINE: Duration = Duration::from_secs(600);
/// Polls in case an event was missed.
const POLL: Duration = Duration::from_secs(1);
/// Some states of a migration have no event, so they are polled.
const STATE_POLL: Duration = Duration::from_millis(1);
const CLEANUP_LIMIT: Duration = Duration::from_secs(30);

/// What the guest does while its RAM is saved or loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Paused,
    /// It runs until little is left.
    Live,
    /// It runs from the beginning on.
    Background,
}

/// Begins to save the RAM of a paused machine.
pub(super) async fn begin(qmp: &qmp::Client, host: &Host, path: PathBuf) -> Result<Save, Error> {
    set_up(qmp, host, host.paused_ram_format(), Way::Paused).await?;
    Save::begin(qmp, host, path, Way::Paused).await
}

/// Loads RAM into a machine that was started with `-incoming`. The machine stays paused.
pub(super) async fn load(qmp: &qmp::Client, host: &Host, ram: &RamFile) -> Result<(), Error> {
    let file = may_wait(|| File::open(&ram.path)).map_err(Error::at(&ram.path))?;
    set_up(qmp, host, ram.format, Way::Paused).await?;
    let address = address(qmp, host, &ram.path, &file).await?;
    let (command, mut events) = ("migrate-incoming", qmp.events());
    qmp.execute(command, address).await.map_err(|e| qmp_error(command, &e))?;
    end(qmp, command, &mut events).await?;
    wait_until_runnable(qmp).await
}

fn create(path: &Path) -> Result<File, Error> {
    let file = may_wait(|| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path));
    file.map_err(Error::at(path))
}

fn size(path: &Path, file: &File) -> Result<u64, Error> {
    let meta = may_wait(|| file.metadata()).map_err(Error::at(path))?;
    Ok(meta.blocks() * 512)
}

/// Mapped-ram needs a path, because several threads open the file. Releases before QEMU 9 get our
/// open file, since they know no migration to a path.
async fn address(qmp: &qmp::Client, host: &Host, path: &Path, file: &File) -> Result<Value, Error> {
    if !host.has_mapped_ram {
        qmp.pass_file(PASSED, file).await.map_err(|e| qmp_error("getfd", &e))?;
        return Ok(json!({ "uri": format!("fd:{PASSED}") }));
    }
    let address = json!({ "transport": "file", "filename": path, "offset": 0 });
    Ok(json!({ "channels": [{ "channel-type": "main", "addr": address }] }))
}

/// Sets every capability, since those of an earlier save remain.
async fn set_up(qmp: &qmp::Client, host: &Host, format: RamFormat, way: Way) -> Result<(), Error> {
    let set = |name: &str, state: bool| json!({ "capability": name, "state": state });
    let is_mapped = format == RamFormat::Mapped;
    let mut capabilities = vec![set("events", true)];
    let mut parameters = json!({ "max-bandwidth": BANDWIDTH });
    if host.has_mapped_ram {
        capabilities.extend([set("mapped-ram", is_mapped), set("multifd", is_mapped)]);
    }
    if is_mapped {
        parameters["multifd-channels"] = CHANNELS.into();
    }
    capabilities.push(set("background-snapshot", way == Way::Background));
    capabilities.push(set("pause-before-switchover", way == Way::Live));
    for (command, arguments) in [
        ("migrate-set-capabilities", json!({ "capabilities": capabilities })),
        ("migrate-set-parameters", parameters),
    ] {
        qmp.execute(command, arguments).await.map_err(|e| qmp_error(command, &e))?;
    }
    Ok(())
}

/// Waits for the end of a migration.
async fn end(
    qmp: &qmp::Client,
    command: &str,
    events: &mut broadcast::Receiver<qmp::Event>,
) -> Result<(), Error> {
    let work = async {
        while !is_complete(command, &state(qmp).await?)? {
            loop {
                match tokio::time::timeout(POLL, events.recv()).await {
                    Ok(Ok(event)) if event.name != "MIGRATION" => continue,
                    Ok(Err(RecvError::Closed)) => return Err(gone(command)),
                    Ok(Ok(_) | Err(RecvError::Lagged(_))) | Err(_) => break,
                }
            }
        }
        Ok(())
    };
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => Err(too_slow(command, "the migration is not complete", DEADLINE)),
    }
}

async fn state(qmp: &qmp::Client) -> Result<Value, Error> {
    let state = qmp.execute("query-migrate", json!({})).await;
    state.map_err(|e| qmp_error("query-migrate", &e))
}

/// Whether a migration in that state has succeeded; an error if it has failed.
fn is_complete(command: &str, state: &Value) -> Result<bool, Error> {
    match state["status"].as_str() {
        Some("completed") => Ok(true),
        Some("failed" | "cancelled") => {
            let desc = state["error-desc"].as_str().unwrap_or("no reason given").to_owned();
            Err(Error::Qmp { command: command.to_owned(), desc })
        }
        _ => Ok(false),
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
                Some("finish-migrate" | "inmigrate") => tokio::time::sleep(STATE_POLL).await,
                _ => return Ok(()),
            }
        }
    };
    match tokio::time::timeout(CLEANUP_LIMIT, work).await {
        Ok(done) => done,
        Err(_) => Err(too_slow("query-status", "the migration is not finalized", CLEANUP_LIMIT)),
    }
}

fn too_slow(command: &str, what: &str, limit: Duration) -> Error {
    Error::Qmp { command: command.to_owned(), desc: format!("{what} after {} s", limit.as_secs()) }
}

fn gone(command: &str) -> Error {
    Error::Qmp { command: command.to_owned(), desc: "QEMU ended".to_owned() }
}
