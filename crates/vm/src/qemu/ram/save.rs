//! One save of RAM, from its beginning to its end.

use std::{fs::File, path::PathBuf};

use serde_json::json;
use tokio::{sync::broadcast, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Way, address, background, create, end, live, size};
use crate::{
    Error, Host, may_wait,
    qemu::qmp_error,
    qmp::{self, Event},
};

/// A save in progress. Its file is removed unless the save succeeds.
pub(in crate::qemu) struct Save {
    way: Way,
    path: PathBuf,
    file: File,
    pub(in crate::qemu) began: Instant,
    events: broadcast::Receiver<Event>,
}

impl Save {
    /// Captures the state of a paused machine, after [`background::allow`]. The machine may run as
    /// soon as this returns.
    pub(in crate::qemu) async fn in_background(
        qmp: &qmp::Client,
        host: &Host,
        path: PathBuf,
    ) -> Result<Self, Error> {
        Self::begin(qmp, host, path, Way::Background).await
    }

    /// Writes the RAM while the guest runs. When this returns, the guest is paused and its disks can
    /// be switched.
    pub(in crate::qemu) async fn live(
        qmp: &qmp::Client,
        host: &Host,
        path: PathBuf,
    ) -> Result<Self, Error> {
        live::prepare(qmp, host).await?;
        Self::begin(qmp, host, path, Way::Live).await
    }

    /// Begins a save, for which QEMU was set up. When this returns, a live save has paused the guest,
    /// and the guest of a save in the background may run.
    pub(super) async fn begin(
        qmp: &qmp::Client,
        host: &Host,
        path: PathBuf,
        way: Way,
    ) -> Result<Self, Error> {
        let (file, began, events) = (create(&path)?, Instant::now(), qmp.events());
        let save = Self { way, path, file, began, events };
        match save.start(qmp, host).await {
            Ok(()) => Ok(save),
            Err(error) => {
                save.abandon(qmp).await;
                Err(error)
            }
        }
    }

    async fn start(&self, qmp: &qmp::Client, host: &Host) -> Result<(), Error> {
        if self.way == Way::Background {
            background::outlast_power_off(qmp, true).await?;
        }
        let address = address(qmp, host, &self.path, &self.file).await?;
        qmp.execute("migrate", address).await.map_err(|e| qmp_error("migrate", &e))?;
        match self.way {
            Way::Paused => Ok(()),
            Way::Live => live::paused(qmp, self.began).await,
            Way::Background => background::captured(qmp).await,
        }
    }

    /// Writes the rest. Returns the bytes that the file takes on the disk. A paused machine may run
    /// afterwards, also after an error.
    pub(in crate::qemu) async fn finish(
        mut self,
        qmp: &qmp::Client,
        give_up: &CancellationToken,
    ) -> Result<u64, Error> {
        let ended = tokio::select! {
            ended = self.end(qmp) => ended,
            () = give_up.cancelled() => Err(Error::Canceled),
        };
        match ended {
            Ok(()) => size(&self.path, &self.file),
            Err(error) => {
                self.abandon(qmp).await;
                Err(error)
            }
        }
    }

    async fn end(&mut self, qmp: &qmp::Client) -> Result<(), Error> {
        if self.way == Way::Live {
            live::resume(qmp).await?;
        }
        end(qmp, "migrate", &mut self.events).await?;
        self.cleaned_up(qmp).await
    }

    /// Ends the save and removes its file. A paused machine may run afterwards.
    pub(in crate::qemu) async fn abandon(self, qmp: &qmp::Client) {
        // Fails if the save has ended, and if QEMU has.
        let _ = qmp.execute("migrate_cancel", json!({})).await;
        if let Err(error) = self.cleaned_up(qmp).await {
            tracing::debug!(%error, "QEMU has not ended the save of the RAM");
        }
        let _ = may_wait(|| std::fs::remove_file(&self.path));
    }

    async fn cleaned_up(&self, qmp: &qmp::Client) -> Result<(), Error> {
        match self.way {
            Way::Paused | Way::Live => live::cleaned_up(qmp).await,
            Way::Background => background::cleaned_up(qmp).await,
        }
    }
}
