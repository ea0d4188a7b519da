//! Makes a disk image from a distribution's signed packages.
//!
//! All the work is one shell script in mount and process namespaces of its own. Its mounts are
//! never visible on the host. When its first process ends, for whatever reason (cancel or `kill -9`
//! of goldsmith included), the kernel ends all others and drops the mounts. Without root, a user
//! namespace makes the script root of its own files.

use std::{
    convert::Infallible,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use api::ErrorCode;
use images::{
    error::{Error, Result},
    event::Activity,
    image_file::space,
    run_context::RunContext,
};
use jiff::Timestamp;
use vm::{
    Host, disk,
    proc::{self, Command, find_program},
};

use super::{DISK, ResolvedEntry, catalogue::Debian, program_fault, scripts::script};

/// Enough for slow mirrors; apt detects hanging ones.
const LIMIT: Duration = Duration::from_secs(45 * 60);
const TICK: Duration = Duration::from_millis(500);
/// Lines of the script's output that an error shows.
const TAIL: usize = 15;

/// Programs that the script calls, with their packages.
const TOOLS: [(&str, &str); 5] = [
    ("mmdebstrap", "mmdebstrap"),
    ("mkfs.ext4", "e2fsprogs"),
    ("sfdisk", "fdisk"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
];
/// Further programs for the EFI system partition. The image itself contains those for BIOS.
const ESP_TOOLS: [(&str, &str); 2] = [("mkfs.vfat", "dosfstools"), ("mcopy", "mtools")];

/// Creates `disk.qcow2` in the work folder and returns the concrete version.
pub(super) async fn make(
    cx: &RunContext,
    host: &Host,
    entry: &ResolvedEntry,
    recipe: &Debian,
    work: &Path,
) -> Result<String> {
    check_architecture(std::env::consts::ARCH)?;
    check_tools(rustix::process::geteuid().is_root(), entry.generation)?;
    let room = u64::from(recipe.work_mib) << 20;
    space::check(room, space::free(work)?, work)?;
    let started = Timestamp::now();
    let activity = cx.events.transfer(format!("Bootstrap {}", entry.name));
    run(cx, entry, recipe, work, &activity).await?;
    drop(activity);

    let (raw, qcow2) = (work.join("disk.raw"), work.join(DISK));
    let _converting = cx.events.transfer("convert the new image");
    let job = disk::Convert { src: &raw, src_format: "raw", dst: &qcow2, dst_format: "qcow2" };
    disk::convert(host, job, |_| (), &cx.cancel)
        .await
        .map_err(|e| program_fault(e, ErrorCode::SourceUnavailable, "convert the new image"))?;
    tidy(work, &qcow2).await.map_err(|e| {
        images::error::io_fault(e, ErrorCode::InternalError, "tidy the work folder".into())
    })?;
    Ok(version(&recipe.version, started))
}

/// The date and the minute of the day: `12.20260823.741`.
pub(super) fn version(base: &str, at: Timestamp) -> String {
    let at = at.to_zoned(jiff::tz::TimeZone::UTC);
    let minute = i32::from(at.hour()) * 60 + i32::from(at.minute());
    format!("{base}.{}.{minute}", at.strftime("%Y%m%d"))
}

/// The installation runs programs of the packages, so the host must be able to run them.
fn check_architecture(host: &str) -> Result<()> {
    if host == "x86_64" {
        return Ok(());
    }
    let text = format!("bootstrapping makes x64 images, and this host's processor is {host}");
    Err(Error::new(ErrorCode::HostNotReady, text)
        .hint("bootstrap on an x64 host, or name a source by url or file in your catalogue"))
}

fn check_tools(is_root: bool, generation: u8) -> Result<()> {
    let subordinate = [("newuidmap", "uidmap")];
    let more = if is_root { &subordinate[..0] } else { &subordinate[..] };
    let esp = if generation == 1 { &ESP_TOOLS[..0] } else { &ESP_TOOLS[..] };
    let all = TOOLS.iter().chain(esp).chain(more);
    let missing: Vec<_> = all.filter(|(tool, _)| find_program(tool).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let tools: Vec<_> = missing.iter().map(|(tool, _)| *tool).collect();
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    Err(Error::new(
        ErrorCode::HostNotReady,
        format!("bootstrapping needs {}, which this host lacks", tools.join(", ")),
    )
    .hint(format!("apt-get install {}", packages.join(" "))))
}

fn command(recipe: &Debian, generation: u8, work: &Path, is_root: bool) -> Command {
    let keyring = recipe.keyring.as_deref().unwrap_or(Path::new(""));
    let user: &[&str] = if is_root { &[] } else { &["--user", "--map-root-user", "--map-auto"] };
    // setpriv: the kernel kills the child when goldsmith dies. unshare: the same for its
    // descendants.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "unshare"])
        .args(user)
        .args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"])
        .args(["sh", "-c", script(generation)])
        .cwd(work)
        .fetches()
        .env("SUITE", &recipe.suite)
        .env("COMPONENTS", recipe.components.join(" "))
        .env("MIRROR", &recipe.mirror)
        .env("SECURITY_MIRROR", &recipe.security_mirror)
        .env("PACKAGES", recipe.packages.join(","))
        .env("DISK_MIB", recipe.disk_mib.to_string())
        .env("KEYRING", keyring)
}

async fn run(
    cx: &RunContext,
    entry: &ResolvedEntry,
    recipe: &Debian,
    work: &Path,
    activity: &Activity,
) -> Result<()> {
    let total = u64::from(recipe.work_mib) << 20;
    let mut said: Vec<String> = Vec::new();
    let is_root = rustix::process::geteuid().is_root();
    let script = command(recipe, entry.generation, work, is_root).run_streaming(
        &cx.cancel,
        Some(LIMIT),
        |line| {
            tracing::debug!(target: "bootstrap", "{line}");
            said.push(line.to_owned());
            if said.len() > 4 * TAIL {
                said.drain(..3 * TAIL);
            }
        },
    );
    let ended = tokio::select! {
        ended = script => ended,
        never = watch(work, activity, total) => match never {},
    };
    ended.map(|_| ()).map_err(|error| match error {
        proc::Error::Failed { .. } if !said.iter().any(|line| is_full(line)) => {
            failed(recipe, &said)
        }
        proc::Error::Failed { .. } => space::full(total, space::free(work).ok(), work),
        other => program_fault(other, ErrorCode::SourceUnavailable, "bootstrap the source image"),
    })
}

/// Reports the progress until it is canceled.
async fn watch(work: &Path, activity: &Activity, total: u64) -> Infallible {
    let mut ticks = tokio::time::interval(TICK);
    let mut most = 0;
    loop {
        ticks.tick().await;
        let folder = work.to_owned();
        let taken = tokio::task::spawn_blocking(move || taken(&folder)).await.unwrap_or(0);
        // Packages are removed after they are unpacked.
        most = most.max(taken).min(total);
        activity.progress(most, Some(total));
    }
}

fn is_full(line: &str) -> bool {
    line.contains("No space left on device") || line.contains("Could not allocate block")
}

fn failed(recipe: &Debian, said: &[String]) -> Error {
    let no_name_spaces =
        said.iter().any(|line| line.starts_with("unshare:") || line.starts_with("newuidmap:"));
    if no_name_spaces {
        return Error::new(
            ErrorCode::HostNotReady,
            "bootstrapping needs name spaces (unshare), which this host does not give us",
        )
        .details(said.iter().cloned())
        .hint("run as root, or allow user name spaces and add subordinate ids for your user (subuid, subgid)");
    }
    let tail = said.len().saturating_sub(TAIL);
    let unsigned = said.iter().any(|line| {
        line.contains("NO_PUBKEY")
            || line.contains("is not signed")
            || line.contains("no signed-by")
    });
    let hint = if unsigned {
        "this host trusts no key that the suite is signed with: update debian-archive-keyring, or name \
         a file with the keys as `keyring` in an entry of your own catalogue"
    } else {
        "the mirror must be reachable; another one can be set in your own catalogue"
    };
    Error::new(
        ErrorCode::SourceUnavailable,
        format!("{} could not be bootstrapped from {}", recipe.suite, recipe.mirror),
    )
    .details(said[tail..].iter().cloned())
    .hint(hint)
}

/// Bytes on disk below a folder, as far as it can be read.
fn taken(folder: &Path) -> u64 {
    let mut bytes = 0;
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    bytes
}

async fn tidy(work: &Path, keep: &Path) -> std::io::Result<()> {
    let (work, keep) = (work.to_owned(), keep.to_owned());
    vm::off_runtime(move || keep_only(&work, &keep)).await
}

/// Removes everything else from the work folder.
pub(super) fn keep_only(work: &Path, keep: &Path) -> std::io::Result<()> {
    for path in images::absent::entries(work)? {
        if path == keep {
            continue;
        }
        if fs::symlink_metadata(&path)?.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_of_another_architecture_is_rejected_with_reason() {
        check_architecture("x86_64").unwrap();
        let error = check_architecture("aarch64").unwrap_err();
        assert_eq!(error.code, ErrorCode::HostNotReady);
        assert!(error.message.contains("this host's processor is aarch64"), "{error}");
        assert!(error.hint.unwrap().contains("by url or file"));
    }

    #[test]
    fn version_contains_date_and_minute() {
        let at: Timestamp = "2026-08-23T12:21:59Z".parse().unwrap();
        assert_eq!(version("12", at), "12.20260823.741");
    }

    #[test]
    fn untrusted_keys_and_unreachable_mirror_have_different_errors() {
        let recipe = Debian {
            version: "13".into(),
            suite: "trixie".into(),
            components: Vec::new(),
            packages: Vec::new(),
            mirror: "http://mirror/debian".into(),
            security_mirror: "http://mirror/security".into(),
            keyring: None,
            disk_mib: 2048,
            work_mib: 1,
        };
        let hint = |line: &str| failed(&recipe, &[line.to_owned()]).hint.unwrap();
        let key = "W: GPG error: http://mirror/debian trixie InRelease: NO_PUBKEY 762F67A0B2C39DE4";
        assert!(hint(key).contains("debian-archive-keyring") && hint(key).contains("`keyring`"));
        assert!(hint("E: Could not connect to mirror:80").contains("must be reachable"));
    }

    #[test]
    fn keep_only_leaves_the_image_in_the_work_folder() {
        let folder = tempfile::tempdir().unwrap();
        let keep = folder.path().join("disk.qcow2");
        fs::write(&keep, [1; 5000]).unwrap();
        fs::write(folder.path().join("disk.raw"), [1; 9000]).unwrap();
        fs::create_dir_all(folder.path().join("tmp/apt")).unwrap();
        assert!(taken(folder.path()) >= 14000);
        keep_only(folder.path(), &keep).unwrap();
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(left, [keep]);
    }
}
