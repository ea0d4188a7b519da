//! Checks what this host provides and lacks, with a remedy for each shortcoming.

use std::{fs, path::Path};

use tokio_util::sync::CancellationToken;

use super::{
    Accel, DEADLINE, Error, Host, INSTALL_QEMU_IMG, KVM, NO_SMM, NoKvm, Version, cpus, firmware,
    is_installed, kvm, usable_memory_mib,
};
use crate::{
    answer_cd, may_wait,
    proc::{self, Command, find_program},
    tpm,
};

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// The subject: "qemu-img", "memory".
    pub what: &'static str,
    /// Whether goldsmith can work with it.
    pub ok: bool,
    /// The result, such as a version.
    pub detail: String,
    /// The command or the advice that fixes or improves it.
    pub remedy: Option<String>,
}

impl Finding {
    fn new(what: &'static str, ok: bool, detail: impl Into<String>) -> Self {
        Self { what, ok, detail: detail.into(), remedy: None }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Programs that goldsmith runs, and the packages that contain them.
const TOOLS: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.vfat", "dosfstools"),
    ("mcopy", "mtools"),
    ("sfdisk", "fdisk"),
    ("ssh", "openssh-client"),
];
/// The same for programs that only guests with Windows need.
const FOR_WINDOWS: &[(&str, &str, &str)] = &[
    (answer_cd::PROGRAM, "builds with Windows guests do not start", "apt-get install xorriso"),
    (tpm::PROGRAM, "machines have no virtual TPM", tpm::INSTALL),
];
const BOOT_LOADER: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const ENOUGH_MIB: u64 = 3 * 1024;

/// Runs all checks, also after one has failed. `probed` is what [`Host::probe`] found.
pub async fn doctor(probed: &Result<Host, Error>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match probed {
        Ok(host) => of_host(host, &mut findings).await,
        Err(error) => {
            findings.push(Finding::new("qemu", false, error.to_string()).remedy(error.remedy()));
        }
    }
    findings.push(may_wait(uefi));
    findings.extend(TOOLS.iter().map(|(tool, package)| match find_program(tool) {
        Some(path) => Finding::new(tool, true, path.display().to_string()),
        None => {
            Finding::new(tool, false, "not installed").remedy(format!("apt-get install {package}"))
        }
    }));
    findings.push(if may_wait(|| Path::new(BOOT_LOADER).is_file()) {
        Finding::new("systemd-boot", true, BOOT_LOADER)
    } else {
        Finding::new("systemd-boot", false, format!("{BOOT_LOADER} does not exist"))
            .remedy("apt-get install systemd-boot-efi")
    });
    findings.extend(FOR_WINDOWS.iter().map(|(tool, without, remedy)| match find_program(tool) {
        Some(path) => Finding::new(tool, true, path.display().to_string()),
        None => Finding::new(tool, true, format!("not installed: {without}")).remedy(*remedy),
    }));
    findings.push(secure_boot(probed.as_ref().ok()).await);
    findings.extend(may_wait(size));
    findings.push(reach());
    findings
}

async fn of_host(host: &Host, findings: &mut Vec<Finding>) {
    let detail = format!("{} {}, {}", host.qemu.display(), host.version, host.machine_type);
    findings.push(Finding::new("qemu", true, detail));
    findings.push(images(host).await);
    findings.push(match &host.accel {
        Accel::Kvm => may_wait(kvm_works),
        Accel::Tcg { why } => Finding::new("KVM", true, format!("software emulation: {why}"))
            .remedy(format!("builds work, but several times slower; {}", may_wait(kvm_remedy))),
    });
    findings.push(Finding::new("guests' processor", true, host.cpu_model.clone()));
    findings.push(may_wait(|| snapshots(host, Path::new("/"))));
}

/// How RAM is saved. QEMU's answer at the seal decides; this names what it depends on.
fn snapshots(host: &Host, root: &Path) -> Finding {
    let subject = "RAM snapshots";
    let otherwise = match host.has_mapped_ram {
        true => {
            "live: the next step waits until the RAM is written, and the guest is paused for the rest alone"
        }
        false => {
            "the guest is paused until its RAM is written; QEMU 9 writes most of it before the pause"
        }
    };
    match userfaultfd(host.version, root) {
        Ok(()) => {
            let detail = format!(
                "in the background, while the next step runs (userfaultfd); for a guest with {} or more processors, {otherwise}",
                host.cpus
            );
            Finding::new(subject, true, detail)
        }
        Err(why) => {
            Finding::new(subject, true, format!("{otherwise}. Not in the background: {why}"))
                .remedy(
                    "to write RAM in the background, while the next step runs: \
                 setfacl -m u:\"$USER\":rw /dev/userfaultfd (QEMU 8 or newer), or \
                 sysctl vm.unprivileged_userfaultfd=1",
                )
        }
    }
}

/// `CAP_SYS_PTRACE` in the capabilities of a process.
const SYS_PTRACE: u64 = 1 << 19;
/// Since then, QEMU opens the device, whose permissions can be granted to a user.
const OPENS_DEVICE: Version = Version { major: 8, minor: 0, micro: 0 };

/// Whether this user's QEMU may catch writes to a guest's RAM.
fn userfaultfd(version: Version, root: &Path) -> Result<(), String> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let device = root.join("dev/userfaultfd");
    let opened = fs::OpenOptions::new().read(true).write(true).open(&device);
    let is_privileged = read("proc/self/status")
        .lines()
        .filter_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .any(|capabilities| capabilities & SYS_PTRACE != 0);
    if is_privileged || read("proc/sys/vm/unprivileged_userfaultfd").trim() == "1" {
        return Ok(());
    }
    match opened {
        Ok(_) if version >= OPENS_DEVICE => Ok(()),
        Ok(_) => Err(format!("QEMU {version} does not open {}", device.display())),
        Err(error) => Err(format!("cannot open {}: {error}", device.display())),
    }
}

/// A request for KVM does not make it work.
fn kvm_works() -> Finding {
    match try_kvm() {
        Ok(()) => Finding::new("KVM", true, "works"),
        Err((cause, why)) => Finding::new("KVM", false, why).remedy(cause.remedy()),
    }
}

fn kvm_remedy() -> &'static str {
    match try_kvm() {
        Ok(()) => "KVM works here: omit --accel",
        Err((cause, _)) => cause.remedy(),
    }
}

fn try_kvm() -> Result<(), (NoKvm, String)> {
    let cpu_info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    kvm(Path::new(KVM), &cpu_info)
}

async fn images(host: &Host) -> Finding {
    let command = Command::new(&host.qemu_img).arg("--version");
    let path = host.qemu_img.display();
    match command.run(&CancellationToken::new(), Some(DEADLINE)).await {
        Ok(output) => match Version::parse(&output.stdout) {
            Some(version) if version == host.version => {
                Finding::new("qemu-img", true, format!("{path} {version}"))
            }
            Some(version) => {
                let detail = format!("{path} is {version}, but QEMU is {}", host.version);
                Finding::new("qemu-img", false, detail)
                    .remedy("apt-get install qemu-utils qemu-system-x86")
            }
            None => Finding::new("qemu-img", false, format!("{path} does not report its version"))
                .remedy(INSTALL_QEMU_IMG),
        },
        Err(error) if is_installed(&error) => {
            Finding::new("qemu-img", false, error.to_string()).remedy(INSTALL_QEMU_IMG)
        }
        Err(_) => Finding::new("qemu-img", false, "not installed").remedy(INSTALL_QEMU_IMG),
    }
}

fn uefi() -> Finding {
    match firmware::find(Path::new("/")) {
        Some(firmware) => Finding::new("UEFI firmware", true, firmware.code.display().to_string()),
        None => {
            Finding::new("UEFI firmware", false, "no firmware without Secure Boot is installed")
                .remedy("apt-get install ovmf")
        }
    }
}

/// Whether machines can have Secure Boot, which few need. QEMU is asked, because only it knows whether
/// KVM has System Management Mode.
async fn secure_boot(host: Option<&Host>) -> Finding {
    let subject = "Secure Boot";
    let Some(firmware) = may_wait(|| firmware::find_secure(Path::new("/"))) else {
        let detail = "no firmware with Microsoft's keys is installed: machines have no Secure Boot";
        return Finding::new(subject, true, detail).remedy("apt-get install ovmf");
    };
    let code = firmware.code.display();
    match host {
        Some(host) if host.accel == Accel::Kvm && !has_smm(host).await => {
            let detail = format!(
                "{code}, but this host's KVM does not offer System Management Mode: machines have no Secure Boot"
            );
            Finding::new(subject, true, detail)
                .remedy("build on another host, or with --accel tcg, which takes many times longer")
        }
        _ => Finding::new(subject, true, code.to_string()),
    }
}

/// Starts QEMU with a snapshot that does not exist, so that it ends once it has made the machine.
async fn has_smm(host: &Host) -> bool {
    let command = Command::new(&host.qemu)
        .args(["-nodefaults", "-no-user-config", "-accel", "kvm", "-machine"])
        .arg(format!("{},smm=on", host.machine_type))
        .args(["-display", "none", "-S", "-loadvm", "none"]);
    match command.run(&CancellationToken::new(), Some(DEADLINE)).await {
        Err(proc::Error::Failed { stderr_tail, .. }) => {
            !stderr_tail.iter().any(|line| line.contains(NO_SMM))
        }
        _ => true,
    }
}

/// Guests on QEMU's user network reach the same networks as the host.
fn reach() -> Finding {
    let reach = "guests can reach what this host reaches: its loopback, its cloud's metadata address, its local network";
    Finding::new("guests' network", true, reach)
        .remedy("build templates you trust, or give them a subnet on a bridge that leads elsewhere")
}

fn size() -> [Finding; 2] {
    let (memory, is_limited) = usable_memory_mib();
    let source = if is_limited { " (limit of the control group)" } else { "" };
    let finding = Finding::new("memory", memory >= ENOUGH_MIB, format!("{memory} MiB{source}"));
    let memory = if memory >= ENOUGH_MIB {
        finding
    } else {
        finding.remedy(format!("a build machine needs 2 GiB, so provide at least {ENOUGH_MIB} MiB"))
    };
    [memory, Finding::new("processors", true, cpus().to_string())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const QEMU_7: Version = Version { major: 7, minor: 2, micro: 0 };

    fn root(capabilities: &str, setting: &str, has_device: bool) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/self/status", &format!("Name:\tgoldsmith\nCapEff:\t{capabilities}\n"));
        write("proc/sys/vm/unprivileged_userfaultfd", &format!("{setting}\n"));
        if has_device {
            write("dev/userfaultfd", "");
        }
        root
    }

    #[test]
    fn userfaultfd_needs_a_capability_the_setting_or_the_device() {
        let (all, none) = ("000001ffffffffff", "0000000000000000");
        for (capabilities, setting, has_device, version, works) in [
            (all, "0", false, OPENS_DEVICE, true),
            (all, "0", false, QEMU_7, true),
            (none, "1", false, QEMU_7, true),
            (none, "0", true, OPENS_DEVICE, true),
            (none, "0", true, QEMU_7, false),
            (none, "0", false, OPENS_DEVICE, false),
        ] {
            let root = root(capabilities, setting, has_device);
            let what = format!("{capabilities} {setting} {has_device} {version}");
            assert_eq!(userfaultfd(version, root.path()).is_ok(), works, "{what}");
        }
    }

    #[test]
    fn way_to_save_ram_depends_on_userfaultfd_and_qemu() {
        for (setting, has_mapped_ram, begin) in [
            ("1", true, "in the background, while the next step runs"),
            ("1", false, "in the background, while the next step runs"),
            ("0", true, "live: the next step waits"),
            ("0", false, "the guest is paused until its RAM is written"),
        ] {
            let root = root("0000000000000000", setting, false);
            let host = Host { has_mapped_ram, ..crate::args::tests::host(Accel::Kvm) };
            let found = snapshots(&host, root.path());
            assert!(found.detail.starts_with(begin), "{}", found.detail);
            assert_eq!(found.remedy.is_some(), setting == "0", "{}", found.detail);
        }
    }
}
