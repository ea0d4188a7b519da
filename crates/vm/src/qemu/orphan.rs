//! Finds and ends the QEMU of a run folder that another process started, and its TPM.

use std::{ffi::OsStr, fs, io, os::unix::ffi::OsStrExt, path::Path, time::Duration};

use crate::{Error, args::PID_FILE, may_wait, proc::Process, tpm};

/// How long QEMU may take to exit after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);
/// A killed process exits immediately, unless it hangs in the kernel.
const KILLED: Duration = Duration::from_secs(30);

/// Ends every QEMU whose pid file is in this folder, then the emulator of its TPM, and returns when they
/// have exited.
pub(super) async fn end(run_dir: &Path) -> Result<(), Error> {
    let proc = Path::new("/proc");
    for is_ours in [is_qemu, is_tpm] {
        for id in may_wait(|| find(proc, run_dir, is_ours)).map_err(Error::at(proc))? {
            let Some(process) = Process::open(id).map_err(Error::at(proc))? else {
                continue;
            };
            // The pid may belong to another process by the time that it is open.
            if may_wait(|| is_ours(proc, id, run_dir)) {
                end_one(&process).await.map_err(Error::at(proc))?;
            }
        }
    }
    Ok(())
}

async fn end_one(process: &Process) -> io::Result<()> {
    process.terminate();
    if process.gone_within(GRACE).await? {
        return Ok(());
    }
    process.kill();
    if process.gone_within(KILLED).await? {
        return Ok(());
    }
    Err(io::Error::other(
        "a machine's process does not exit after SIGKILL; the host's storage may hang",
    ))
}

type IsOurs = fn(&Path, u32, &Path) -> bool;

fn find(proc: &Path, run_dir: &Path, is_ours: IsOurs) -> io::Result<Vec<u32>> {
    let ids =
        fs::read_dir(proc)?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(ids.filter(|id| is_ours(proc, *id, run_dir)).collect())
}

/// False for a process that has just exited and for a zombie: both have no command line.
fn is_qemu(proc: &Path, id: u32, run_dir: &Path) -> bool {
    let line = read(proc, id, "cmdline");
    let pid_file = run_dir.join(PID_FILE);
    let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let program = Path::new(OsStr::from_bytes(arguments[0])).file_name().unwrap_or_default();
    program.as_bytes().starts_with(b"qemu-")
        && arguments
            .windows(2)
            .any(|pair| pair[0] == b"-pidfile" && pair[1] == pid_file.as_os_str().as_bytes())
}

fn is_tpm(proc: &Path, id: u32, run_dir: &Path) -> bool {
    let line = read(proc, id, "cmdline");
    !line.is_empty() && tpm::is_of(run_dir, &line, &read(proc, id, "environ"))
}

fn read(proc: &Path, id: u32, file: &str) -> Vec<u8> {
    fs::read(proc.join(id.to_string()).join(file)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_returns_only_the_qemu_of_this_folder() {
        let proc = tempfile::tempdir().unwrap();
        let run = Path::new("/data/runs/1");
        for (id, line) in [
            ("10", "/usr/bin/qemu-system-x86_64\0-pidfile\0/data/runs/1/qemu.pid\0-daemonize\0"),
            ("11", "/usr/bin/qemu-system-x86_64\0-pidfile\0/data/runs/10/qemu.pid\0"),
            ("12", "tail\0-pidfile\0/data/runs/1/qemu.pid\0"),
            ("13", ""),
            ("self", "/usr/bin/qemu-system-x86_64\0-pidfile\0/data/runs/1/qemu.pid\0"),
        ] {
            fs::create_dir(proc.path().join(id)).unwrap();
            fs::write(proc.path().join(id).join("cmdline"), line).unwrap();
        }
        fs::create_dir(proc.path().join("14")).unwrap();
        assert_eq!(find(proc.path(), run, is_qemu).unwrap(), [10]);
    }

    #[tokio::test]
    async fn end_without_a_machine_succeeds() {
        end(Path::new("/no/such/run/folder")).await.unwrap();
    }
}
