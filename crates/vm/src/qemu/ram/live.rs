//! Saves RAM while the guest runs, up to the little that changes meanwhile: QEMU's usual migration,
//! into a file.
//!
//! Unlike a save in the background, it ends with the state at its end, and the next step waits for
//! it. It costs a tenth of the processor time, since several threads write whole ranges of pages, and
//! its format loads fastest.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{
    CLEANUP_LIMIT, STATE_POLL, Way, is_complete, set_up, state, too_slow, wait_until_runnable,
};
use crate::{Error, Host, RamFormat, qemu::qmp_error, qmp};

/// What QEMU estimates for the rest when it pauses the guest, in milliseconds.
const DOWNTIME_MS: u32 = 100;
/// A guest that changes its memory faster than it is written is paused after this time.
const PATIENCE: Duration = Duration::from_secs(3);
/// From then on only the rest has to be written.
const LIMIT: Duration = Duration::from_secs(60);

/// Sets QEMU up for a save whose guest runs.
pub(super) async fn prepare(qmp: &qmp::Client, host: &Host) -> Result<(), Error> {
    set_up(qmp, host, RamFormat::Mapped, Way::Live).await?;
    let (command, limit) = ("migrate-set-parameters", json!({ "downtime-limit": DOWNTIME_MS }));
    qmp.execute(command, limit).await.map_err(|e| qmp_error(command, &e)).map(drop)
}

/// Waits until QEMU has paused the guest.
pub(super) async fn paused(qmp: &qmp::Client, began: Instant) -> Result<(), Error> {
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
        if is_patient && began.elapsed() > PATIENCE {
            is_patient = false;
            qmp.execute("stop", json!({})).await.map_err(|e| qmp_error("stop", &e))?;
        }
        if began.elapsed() > LIMIT {
            return Err(too_slow("migrate", "the guest is not paused", LIMIT));
        }
        tokio::time::sleep(STATE_POLL).await;
    }
}

/// Lets QEMU write the rest.
pub(super) async fn resume(qmp: &qmp::Client) -> Result<(), Error> {
    let (command, from) = ("migrate-continue", json!({ "state": "pre-switchover" }));
    qmp.execute(command, from).await.map_err(|e| qmp_error(command, &e)).map(drop)
}

/// Waits until a migration is over and the machine may run.
pub(super) async fn cleaned_up(qmp: &qmp::Client) -> Result<(), Error> {
    let over = async {
        while !matches!(
            state(qmp).await?["status"].as_str(),
            Some("cancelled" | "failed" | "completed") | None
        ) {
            tokio::time::sleep(STATE_POLL).await;
        }
        wait_until_runnable(qmp).await
    };
    match tokio::time::timeout(CLEANUP_LIMIT, over).await {
        Ok(over) => over,
        Err(_) => Err(too_slow("migrate", "the migration is not over", CLEANUP_LIMIT)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tokio_util::sync::CancellationToken;

    use super::{
        super::{
            Save,
            peer::{Peer, exists, host, migration, refusal},
        },
        *,
    };

    async fn approach(peer: &Peer) -> Result<Save, Error> {
        Save::live(&peer.qmp, &host(), peer.ram()).await
    }

    async fn conclude(peer: &Peer, save: Save) -> Result<u64, Error> {
        save.finish(&peer.qmp, &CancellationToken::new()).await
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
        conclude(&peer, save).await.unwrap();
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
            let saved = async { conclude(&peer, approach(&peer).await?).await };
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
        paused(&peer.qmp, began).await.unwrap();
        assert_eq!(peer.count("stop"), 1);
    }
}
