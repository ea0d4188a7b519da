//! The saved RAM of a machine: its files, the request to save it, and the end of a save.

use std::path::PathBuf;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How a file stores RAM. QEMU must know it before it loads the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RamFormat {
    /// One page after the other, as over a network.
    Stream,
    /// Each page at a fixed offset, so that several threads access the file (QEMU 9).
    Mapped,
}

/// A RAM file that a seal wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RamFile {
    /// The file.
    pub path: PathBuf,
    /// Its format, from [`SavedRam::format`].
    pub format: RamFormat,
}

/// A request to save the RAM with a seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveRam {
    /// The file to create; it must not exist.
    pub path: PathBuf,
    /// Lets the next step run while the RAM is written, if QEMU and the host support it. Otherwise
    /// the next step waits until the RAM is written; the guest runs meanwhile as far as QEMU can do
    /// that.
    pub background: bool,
    /// Loads a file that was written in the background into a second machine, which never runs. The
    /// folder must exist, and its machine is ended like any other ([`crate::Backend::end`]).
    /// Impossible for a machine on a bridge, because a second machine cannot have the same port.
    pub load_test: Option<PathBuf>,
}

/// RAM that has been saved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SavedRam {
    /// Bytes that the file takes on the disk.
    pub bytes: u64,
    /// From the beginning of the save to the complete file.
    pub seconds: f64,
    /// The format of the file.
    pub format: RamFormat,
    /// Whether a second machine loaded the file.
    pub is_tested: bool,
}

/// Why a seal has no RAM. Its file is removed; the sealed disks are complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RamLost {
    /// It was not saved.
    #[error("the machine's RAM was not saved: {0}")]
    NotSaved(String),
    /// It was saved, but a second machine could not load it.
    #[error("the saved RAM does not load: {0}")]
    DoesNotLoad(String),
}

/// A save of RAM. It continues if this value is dropped.
#[derive(Debug)]
pub struct RamSave {
    end: oneshot::Receiver<Result<SavedRam, RamLost>>,
    give_up: CancellationToken,
}

/// The other end of a [`RamSave`], for the backend.
#[derive(Debug)]
pub(crate) struct Saving {
    send: oneshot::Sender<Result<SavedRam, RamLost>>,
    /// Fires when the caller does not need the RAM any more.
    pub(crate) give_up: CancellationToken,
}

impl RamSave {
    /// A save in progress, and its other end.
    pub(crate) fn begin() -> (Self, Saving) {
        let (send, end) = oneshot::channel();
        let give_up = CancellationToken::new();
        (Self { end, give_up: give_up.clone() }, Saving { send, give_up })
    }

    /// A save that has ended.
    pub(crate) fn over(result: Result<SavedRam, RamLost>) -> Self {
        let (save, saving) = Self::begin();
        saving.end(result);
        save
    }

    /// Abandons the save when it is canceled.
    pub fn give_up(&self) -> CancellationToken {
        self.give_up.clone()
    }

    /// Waits for the end of the save, and abandons it if the token is canceled first. Nothing
    /// writes to the file afterwards.
    ///
    /// # Errors
    /// The RAM is not saved. The file does not exist.
    pub async fn finish(mut self, cancel: &CancellationToken) -> Result<SavedRam, RamLost> {
        tokio::select! {
            biased;
            end = &mut self.end => return end.unwrap_or_else(|_| Err(unknown())),
            () = cancel.cancelled() => self.give_up.cancel(),
        }
        self.end.await.unwrap_or_else(|_| Err(unknown()))
    }
}

impl Saving {
    /// Reports the end of the save.
    pub(crate) fn end(self, result: Result<SavedRam, RamLost>) {
        // The caller may have lost interest.
        let _ = self.send.send(result);
    }
}

fn unknown() -> RamLost {
    RamLost::NotSaved("the task that saves it died".to_owned())
}
