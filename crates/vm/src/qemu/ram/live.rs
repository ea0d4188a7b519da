//! Saves RAM while the guest runs, up to the little that changes meanwhile: QEMU's usual migration,
//! into a file.
//!
//! Unlike a save in the background, it ends with the state at its end, and the next step waits for
//! it. It costs a tenth of the processor time, since several threads write whole ranges of pages, and
//! its format loads fastest.

use std::{fs::File, path::PathBuf, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use super::{
    STATE_POLL, Way, address, create, end, is_complete, set_up, size, state, too_slow,
    wait_until_runnable,
};
use crate::{Error, Host, RamFormat, may_wait, qemu::qmp_error, qmp};

/// What QEMU estimates for the rest when it pauses the guest, in milliseconds.
const DOWNTIME_MS: u32 = 100;
/// A guest that changes its memory faster than it is written is paused after this time.
const PATIENCE: Duration = Duration::from_secs(3);
/// From then on only the rest has to be written.
const LIMIT: Duration = Duration::from_secs(60);

/// A save whose guest QEMU has paused, before the rest is written. Its file is removed unless the
/// save succeeds.
pub(in crate::qemu) struct Live {
    path: PathBuf,
    file: File,
    began: Instant,
}

impl Live {
    /// Writes the RAM while the guest runs. When this returns, the guest is paused and its disks can
    /// be switched.
    pub(in crate::qemu) async fn approach(
        qmp: &qmp::Client,
        host: &Host,
        path: PathBuf,
    ) -> Result<Self, Error> {
        set_up(qmp, host, RamFormat::Mapped, Way::Live).await?;
        let save = Self { file: create(&path)?, path, began: Instant::now() };
        let approached = async {
            let limit = json!({ "downtime-limit": DOWNTIME_MS });
            let command = "migrate-set-parameters";
            qmp.execute(command, limit).await.map_err(|e| qmp_error(command, &e))?;
            let address = address(qmp, host, &save.path, &save.file).await?;
            qmp.execute("migrate", address).await.map_err(|e| qmp_error("migrate", &e))?;
            save.paused(qmp).await
        };
        match approached.await {
            Ok(()) => Ok(save),
            Err(error) => {
                save.abandon(qmp).await;
                Err(error)
            }
        }
    }

    /// Waits until QEMU has paused the guest.
    async fn paused(&self, qmp: &qmp::Client) -> Result<(), Error> {
        let mut is_patient = true;
        loop {
            let state = state(qmp).await?;
            if state["status"] == "pre-switchover" {
                return Ok(());
            }
            if is_complete("migrate", &state)? {
                let desc = "it did not pause before its end".to_owned();
                return Err(Error::Qmp { command: "migrate".to_owned(), desc });
            }
            if is_patient && self.began.elapsed() > PATIENCE {
                is_patient = false;
                qmp.execute("stop", json!({})).await.map_err(|e| qmp_error("stop", &e))?;
            }
            if self.began.elapsed() > LIMIT {
                return Err(too_slow("migrate", "the guest is not paused", LIMIT));
            }
            tokio::time::sleep(STATE_POLL).await;
        }
    }

    /// Writes the rest. Returns the bytes that the file takes on the disk, and the seconds since the
    /// beginning. The machine may run afterwards, also after an error.
    pub(in crate::qemu) async fn conclude(self, qmp: &qmp::Client) -> Result<(u64, f64), Error> {
        let concluded = async {
            let events = qmp.events();
            let command = "migrate-continue";
            let from = json!({ "state": "pre-switchover" });
            qmp.execute(command, from).await.map_err(|e| qmp_error(command, &e))?;
            end(qmp, command, events).await?;
            wait_until_runnable(qmp).await
        };
        match concluded.await {
            Ok(()) => Ok((size(&self.path, &self.file)?, self.began.elapsed().as_secs_f64())),
            Err(error) => {
                self.abandon(qmp).await;
                Err(error)
            }
        }
    }

    /// Ends the save and removes its file. The machine may run afterwards.
    pub(in crate::qemu) async fn abandon(self, qmp: &qmp::Client) {
        // Fails if the save has ended, and if QEMU has.
        let _ = qmp.execute("migrate_cancel", json!({})).await;
        let ended = async {
            while !matches!(
                state(qmp).await?["status"].as_str(),
                Some("cancelled" | "failed" | "completed") | None
            ) {
                tokio::time::sleep(STATE_POLL).await;
            }
            wait_until_runnable(qmp).await
        };
        if let Ok(Err(error)) = tokio::time::timeout(super::CLEANUP_LIMIT, ended).await {
            tracing::debug!(%error, "QEMU has not ended the save of the RAM");
        }
        let _ = may_wait(|| std::fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{
        super::peer::{Peer, exists, host, migration, refusal},
        *,
    };

    async fn approach(peer: &Peer) -> Result<Live, Error> {
        Live::approach(&peer.qmp, &host(), peer.ram()).await
    }

    #[tokio::test]
    async fn guest_runs_until_qemu_pauses_it() {
        let states = [
            migration("active", 1),
            migration("active", 9),
            migration("pre-switchover", 10),
            migration("completed", 11),
        ];
        let peer = Peer::new(&[("query-migrate", &states)]).await;
        let save = approach(&peer).await.unwrap();
        assert_eq!((peer.count("query-migrate"), peer.count("stop")), (3, 0));
        save.conclude(&peer.qmp).await.unwrap();
        assert_eq!(peer.count("migrate-continue"), 1);
        assert!(exists(&peer.ram()));
    }

    #[tokio::test]
    async fn failed_saves_leave_no_file() {
        let failed = json!({ "status": "failed", "error-desc": "No space left on device" });
        let before = [migration("active", 1), failed.clone()];
        let after = [migration("pre-switchover", 1), failed];
        let refused = [refusal()];
        let scripts: [&[(&str, &[Value])]; 4] = [
            &[("query-migrate", &before)],
            &[("query-migrate", &after)],
            &[("migrate", &refused), ("query-migrate", &[json!({})])],
            &[("migrate-set-capabilities", &refused)],
        ];
        for script in scripts {
            let peer = Peer::new(script).await;
            let saved = async { approach(&peer).await?.conclude(&peer.qmp).await };
            assert!(saved.await.is_err(), "{script:?}");
            assert!(!exists(&peer.ram()), "{script:?}");
        }
    }

    #[tokio::test]
    async fn guest_that_changes_its_memory_too_fast_is_paused() {
        let mut states = vec![migration("active", 1); 20];
        states.push(migration("pre-switchover", 1));
        let peer = Peer::new(&[("query-migrate", &states)]).await;
        let began = Instant::now().checked_sub(PATIENCE * 2).unwrap();
        let file = create(&peer.ram()).unwrap();
        Live { file, path: peer.ram(), began }.paused(&peer.qmp).await.unwrap();
        assert_eq!(peer.count("stop"), 1);
    }
}
