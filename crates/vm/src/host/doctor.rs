//! Checks what this host provides and lacks, with a remedy for each shortcoming.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::{
    Accel, DEADLINE, Error, Host, INSTALL_QEMU_IMG, KVM, Version, cpus, firmware, is_installed,
    kvm, usable_memory_mib,
};
use crate::{
    may_wait,
    proc::{Command, find_program},
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
    findings.extend(may_wait(size));
    findings.push(reach());
    findings
}

async fn of_host(host: &Host, findings: &mut Vec<Finding>) {
    let detail = format!("{} {}, {}", host.qemu.display(), host.version, host.machine_type);
    findings.push(Finding::new("qemu", true, detail));
    findings.push(images(host).await);
    findings.push(match &host.accel {
        Accel::Kvm => Finding::new("KVM", true, "works"),
        Accel::Tcg { why } => Finding::new("KVM", true, format!("software emulation: {why}"))
            .remedy(format!("builds work, but several times slower; {}", may_wait(kvm_remedy))),
    });
    findings.push(Finding::new("guests' processor", true, host.cpu_model.clone()));
    findings.push(if host.has_mapped_ram {
        Finding::new("RAM snapshots", true, "mapped-ram")
    } else {
        Finding::new("RAM snapshots", true, "as a plain stream")
            .remedy("QEMU 9 or newer resumes machines faster")
    });
}

fn kvm_remedy() -> &'static str {
    let cpu_info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    match kvm(Path::new(KVM), &cpu_info) {
        Ok(()) => "KVM works here: omit --accel",
        Err((cause, _)) => cause.remedy(),
    }
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
