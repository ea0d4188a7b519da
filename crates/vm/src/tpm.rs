//! The TPM of a machine: a process of swtpm beside QEMU.
//!
//! It ends when QEMU closes its connection. One that has lost its machine before that is found by its
//! environment, which names the run folder ([`is_of`]).
//!
//! QEMU saves the TPM's state with the RAM. To boot a sealed disk without its RAM, the state folder has
//! to be sealed too: see [`crate::Seal::tpm`].

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt, symlink},
    },
    path::Path,
    time::Duration,
};

use crate::{
    Error, may_wait,
    proc::{Command, Daemon, find_program},
};

pub(crate) const PROGRAM: &str = "swtpm";
/// The command that installs it.
pub(crate) const INSTALL: &str = "apt-get install swtpm";
/// The emulator's socket in the run folder.
pub(crate) const SOCKET: &str = "tpm.sock";
/// The emulator's own output, in the run folder.
const LOG: &str = "swtpm.log";
/// The state folder's name in the run folder, since a comma in its path would end the option.
const STATE: &str = "tpm-state";
/// In the environment of an emulator: the run folder of its machine.
const RUN_DIR: &str = "GOLDSMITH_RUN_DIR";
/// From the program's start to its socket; far more than it needs.
const SOCKET_DEADLINE: Duration = Duration::from_secs(20);
const SOCKET_POLL: Duration = Duration::from_millis(3);
/// How long it may take to exit after QEMU.
const QUIT: Duration = Duration::from_secs(3);

/// A running emulator. It is not killed on drop, since it ends with QEMU.
#[derive(Debug)]
pub(crate) struct Tpm(Daemon);

impl Tpm {
    /// Starts the emulator for the machine of that run folder, and returns when QEMU can connect. An
    /// empty state folder becomes a new TPM; it is created if it is missing.
    pub(crate) async fn start(run_dir: &Path, state: &Path) -> Result<Self, Error> {
        let program = find_program(PROGRAM).ok_or(Error::HostLacks {
            what: "a virtual TPM needs the program swtpm, which is not installed",
            remedy: INSTALL,
        })?;
        let log = may_wait(|| prepare(run_dir, state)).map_err(Error::at(state))?;
        let daemon = Command::new(program)
            .args(["socket", "--tpm2", "--terminate"])
            .args(["--tpmstate", &format!("dir={STATE},mode=0600")])
            .args(["--ctrl", &format!("type=unixio,path={SOCKET},mode=0600")])
            .env(RUN_DIR, run_dir)
            .cwd(run_dir)
            .start(log)?;
        let tpm = Self(daemon);
        match tpm.listening(&run_dir.join(SOCKET)).await {
            Ok(()) => Ok(tpm),
            Err(()) => {
                tpm.kill();
                let said = may_wait(|| fs::read_to_string(run_dir.join(LOG))).unwrap_or_default();
                let said = crate::serial::one_line(&said);
                Err(Error::Start { output: format!("the TPM's emulator does not start: {said}") })
            }
        }
    }

    async fn listening(&self, socket: &Path) -> Result<(), ()> {
        let there = || fs::metadata(socket).is_ok_and(|meta| meta.file_type().is_socket());
        let poll = async {
            while !may_wait(there) {
                tokio::time::sleep(SOCKET_POLL).await;
            }
        };
        tokio::select! {
            () = poll => Ok(()),
            _ = self.0.ended() => Err(()),
            () = tokio::time::sleep(SOCKET_DEADLINE) => Err(()),
        }
    }

    pub(crate) fn kill(&self) {
        self.0.process().kill();
    }

    /// Returns when it has ended. Call it after QEMU's end.
    pub(crate) async fn end(&self) {
        if tokio::time::timeout(QUIT, self.0.ended()).await.is_err() {
            self.kill();
            self.0.ended().await;
        }
    }
}

fn prepare(run_dir: &Path, state: &Path) -> io::Result<File> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
    let link = run_dir.join(STATE);
    for old in [&link, &run_dir.join(SOCKET)] {
        if fs::symlink_metadata(old).is_ok_and(|meta| !meta.is_dir()) {
            fs::remove_file(old)?;
        }
    }
    if state != link {
        symlink(state, &link)?;
    }
    File::create(run_dir.join(LOG))
}

/// Whether a process is the emulator of that run folder's machine, by its command line and its
/// environment as the kernel shows them.
pub(crate) fn is_of(run_dir: &Path, command_line: &[u8], environment: &[u8]) -> bool {
    let program = command_line.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut wanted = format!("{RUN_DIR}=").into_bytes();
    wanted.extend_from_slice(run_dir.as_os_str().as_bytes());
    Path::new(OsStr::from_bytes(program)).file_name() == Some(OsStr::new(PROGRAM))
        && environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
}

/// Copies the state to a new folder. No command of the TPM may be at work: the guest is paused.
pub(crate) fn copy_state(from: &Path, to: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        // The lock of the running emulator stays behind.
        if entry.file_type()?.is_file() && entry.file_name() != ".lock" {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
