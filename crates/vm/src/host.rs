//! The capabilities of this host.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    OsType, RamFormat, hardware, may_wait,
    proc::{self, Command, find_program},
};

mod cgroup;
mod cpu;
mod doctor;
mod firmware;

pub use cpu::CpuChoice;
pub use doctor::{Finding, doctor};
pub use firmware::UefiFirmware;

/// Older releases lack features that goldsmith needs (`-blockdev` JSON, screenshots as PNG).
const OLDEST: Version = Version { major: 7, minor: 1, micro: 0 };
const DEADLINE: Duration = Duration::from_secs(20);

/// The reason why no machine can run on this host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is missing.
    #[error("{tool} is not installed")]
    Missing {
        /// The program.
        tool: &'static str,
        /// The command that fixes the problem.
        remedy: &'static str,
    },
    /// QEMU is too old.
    #[error("QEMU {installed} is too old; the minimum is {OLDEST}")]
    TooOld {
        /// The installed version.
        installed: Version,
        /// The command that fixes the problem.
        remedy: &'static str,
    },
    /// A program failed, or its output could not be parsed.
    #[error("{tool} does not work here: {detail}")]
    Broken {
        /// The program.
        tool: &'static str,
        /// Its output.
        detail: String,
        /// The command that fixes the problem.
        remedy: &'static str,
    },
}

impl Error {
    /// The command that fixes the problem.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Missing { remedy, .. }
            | Self::TooOld { remedy, .. }
            | Self::Broken { remedy, .. } => remedy,
        }
    }
}

const KVM: &str = "/dev/kvm";
/// What QEMU says where KVM has no System Management Mode.
pub(crate) const NO_SMM: &str = "System Management Mode not supported";
const INSTALL_QEMU: &str = "apt-get install qemu-system-x86";
const INSTALL_QEMU_IMG: &str = "apt-get install qemu-utils";

/// A version of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub micro: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

impl Version {
    /// Parses `... version 10.0.2 (Debian ...)`.
    fn parse(text: &str) -> Option<Self> {
        let after = text.split("version ").nth(1)?;
        let number = after.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut parts = number.split('.').map(str::parse);
        let major = parts.next()?.ok()?;
        let minor = parts.next()?.ok()?;
        let micro = parts.next().and_then(Result::ok).unwrap_or(0);
        Some(Self { major, minor, micro })
    }
}

/// How the guest's instructions are executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accel {
    /// By the processor, through KVM.
    Kvm,
    /// By QEMU's software emulation.
    Tcg {
        /// Why KVM is not used.
        why: String,
    },
}

impl Accel {
    /// QEMU's name for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg { .. } => "tcg",
        }
    }
}

/// The causes of missing KVM that need different remedies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoKvm {
    /// The device is missing, although the processor supports virtualization.
    NoModule,
    /// The processor does not report support for virtualization.
    NoVirtualization,
    /// The user may not open the device.
    Forbidden,
    /// The device fails in another way.
    Broken,
}

impl NoKvm {
    fn remedy(self) -> &'static str {
        match self {
            Self::NoModule => "modprobe kvm_intel (or kvm_amd)",
            Self::NoVirtualization => {
                "enable virtualization (VT-x, AMD-V) in the firmware, or nested virtualization for this \
                 virtual machine; or use another host"
            }
            Self::Forbidden => "usermod -aG kvm \"$USER\", then log in again",
            Self::Broken => "see `dmesg | grep -i kvm`",
        }
    }
}

/// A host that can run machines.
#[derive(Debug, Clone)]
pub struct Host {
    /// The path of QEMU's system emulator.
    pub qemu: PathBuf,
    /// The path of `qemu-img`.
    pub qemu_img: PathBuf,
    /// The version of `qemu`.
    pub version: Version,
    /// KVM only if it works.
    pub accel: Accel,
    /// The newest versioned machine type `pc-q35-*`.
    pub machine_type: String,
    /// The value of `-cpu`.
    pub cpu_model: String,
    /// UEFI firmware without Secure Boot, if installed.
    pub uefi: Option<UefiFirmware>,
    /// UEFI firmware with Secure Boot and Microsoft's keys, if installed.
    pub secure_uefi: Option<UefiFirmware>,
    /// Whether generation 1 machines can start.
    pub bios: bool,
    /// Processors available to this process.
    pub cpus: u32,
    /// Memory available to this process: the host's, or the limit of its control group.
    pub memory_mib: u64,
    /// Whether RAM can be saved to a file in place (QEMU 9).
    pub has_mapped_ram: bool,
    /// The full identity of the host's processor under KVM; "" under emulation.
    pub cpu_identity: String,
}

/// The kernel's boot id, which changes with every boot of this host.
///
/// # Errors
/// The kernel's file cannot be read.
pub fn boot_id() -> io::Result<String> {
    let id = may_wait(|| fs::read_to_string("/proc/sys/kernel/random/boot_id"))?;
    Ok(id.trim().to_owned())
}

impl Host {
    /// The UEFI firmware, with or without Secure Boot.
    ///
    /// # Errors
    /// [`crate::Error::HostLacks`]: it is not installed.
    pub fn firmware(&self, secure_boot: bool) -> Result<&UefiFirmware, crate::Error> {
        let (found, what) = match secure_boot {
            true => (
                &self.secure_uefi,
                "Secure Boot needs UEFI firmware with Microsoft's keys, which is not installed",
            ),
            false => (&self.uefi, "there is no UEFI firmware on this host"),
        };
        let lacks = crate::Error::HostLacks { what, remedy: "apt-get install ovmf" };
        found.as_ref().ok_or(lacks)
    }

    /// Examines this host. Takes well below a second.
    pub async fn probe(accel: Option<Accel>) -> Result<Self, Error> {
        let qemu = find_program("qemu-system-x86_64")
            .or_else(|| find_program("qemu-kvm"))
            .ok_or(Error::Missing { tool: "qemu-system-x86_64", remedy: INSTALL_QEMU })?;
        let qemu_img = find_program("qemu-img")
            .ok_or(Error::Missing { tool: "qemu-img", remedy: INSTALL_QEMU_IMG })?;
        let (version_text, machines) =
            tokio::join!(query(&qemu, "--version"), query(&qemu, "-machine=help"));
        let (version_text, machines) = (version_text?, machines?);
        let version = Version::parse(&version_text).ok_or_else(|| broken(&version_text))?;
        if version < OLDEST {
            return Err(Error::TooOld { installed: version, remedy: INSTALL_QEMU });
        }
        let machine_type =
            newest_q35(&machines).ok_or_else(|| broken("it does not support pc-q35 machines"))?;
        let cpu_info = may_wait(|| fs::read_to_string("/proc/cpuinfo")).unwrap_or_default();
        let accel = accel.unwrap_or_else(|| may_wait(|| working_accel(Path::new(KVM), &cpu_info)));
        let cpu_model = cpu::model(&accel, CpuChoice::default(), &cpu_info);
        let cpu_identity = match &accel {
            Accel::Kvm => cpu_identity(&cpu_info),
            Accel::Tcg { .. } => String::new(),
        };
        Ok(Self {
            qemu,
            qemu_img,
            version,
            accel,
            machine_type,
            cpu_model,
            uefi: may_wait(|| firmware::find(Path::new("/"))),
            secure_uefi: may_wait(|| firmware::find_secure(Path::new("/"))),
            bios: may_wait(|| firmware::has_bios(Path::new("/"))),
            cpus: cpus(),
            memory_mib: may_wait(usable_memory_mib).0,
            has_mapped_ram: version.major >= 9,
            cpu_identity,
        })
    }

    /// This host with another CPU model for its guests.
    #[must_use]
    pub fn with_cpu(self, choice: CpuChoice) -> Self {
        let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self { cpu_model: cpu::model(&self.accel, choice, &cpu_info), ..self }
    }

    /// The processor that guests with this system see and that builds depend on: a model's name, or the
    /// full identity of the host's processor, and what the system's hardware adds to it.
    pub fn guest_cpu(&self, os: OsType) -> String {
        let features = hardware::cpu_features(os, self.accel == Accel::Kvm);
        match self.cpu_model.as_str() {
            cpu::HOST => {
                format!("{}{features} {}", self.cpu_model, self.cpu_identity).trim_end().into()
            }
            named => format!("{named}{features}"),
        }
    }

    /// The format in which a paused machine's RAM is saved. RAM of an earlier goldsmith, which knew
    /// no other saves, has it too.
    pub fn paused_ram_format(&self) -> RamFormat {
        if self.has_mapped_ram { RamFormat::Mapped } else { RamFormat::Stream }
    }

    /// The properties of the host that a saved RAM depends on, beside the machine's description.
    /// RAM may only be resumed where this text is equal.
    pub fn ram_identity(&self, os: OsType) -> String {
        let accel = self.accel.name();
        let Self { version, cpu_identity, .. } = self;
        let layout = hardware::version(os);
        format!("qemu-{version} {accel} layout-{layout} {cpu_identity}").trim_end().to_owned()
    }
}

fn broken(detail: &str) -> Error {
    let detail = detail.lines().next().unwrap_or_default().to_owned();
    Error::Broken { tool: "qemu-system-x86_64", detail, remedy: INSTALL_QEMU }
}

async fn query(qemu: &Path, argument: &str) -> Result<String, Error> {
    let arguments = argument.split('=');
    let command = Command::new(qemu).args(arguments);
    match command.run(&CancellationToken::new(), Some(DEADLINE)).await {
        Ok(output) => Ok(output.stdout),
        Err(error) => Err(broken(&error.to_string())),
    }
}

/// The newest of the versioned machine types in `-machine help`.
fn newest_q35(help: &str) -> Option<String> {
    help.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|name| {
            let version = name.strip_prefix("pc-q35-")?;
            let mut parts = version.split('.').map(str::parse::<u32>);
            Some((parts.next()?.ok()?, parts.next()?.ok()?, name))
        })
        .max()
        .map(|(_, _, name)| name.to_owned())
}

/// KVM if the device opens and the processor supports virtualization. Some hosts have a device that
/// runs only special guests.
fn working_accel(device: &Path, cpu_info: &str) -> Accel {
    match kvm(device, cpu_info) {
        Ok(()) => Accel::Kvm,
        Err((_, why)) => Accel::Tcg { why },
    }
}

fn kvm(device: &Path, cpu_info: &str) -> Result<(), (NoKvm, String)> {
    let opened = fs::OpenOptions::new().read(true).write(true).open(device);
    classify_kvm(device, opened.map(drop), has_virtualization(cpu_info))
}

fn classify_kvm(
    device: &Path,
    opened: std::io::Result<()>,
    has_virtualization: bool,
) -> Result<(), (NoKvm, String)> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let name = device.display();
    match opened {
        Err(error) if error.kind() == NotFound && has_virtualization => {
            Err((NoKvm::NoModule, format!("{name} does not exist")))
        }
        Err(error) if error.kind() == NotFound => {
            let why = format!("{name} does not exist, and the processor has neither vmx nor svm");
            Err((NoKvm::NoVirtualization, why))
        }
        Err(error) if error.kind() == PermissionDenied => {
            Err((NoKvm::Forbidden, format!("cannot open {name}: {error}")))
        }
        Err(error) => Err((NoKvm::Broken, format!("cannot open {name}: {error}"))),
        Ok(()) if !has_virtualization => {
            let why = format!("{name} opens, but the processor has neither vmx nor svm");
            Err((NoKvm::NoVirtualization, why))
        }
        Ok(()) => Ok(()),
    }
}

fn cpu_field<'a>(cpu_info: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = cpu_info.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

fn has_virtualization(cpu_info: &str) -> bool {
    cpu_field(cpu_info, "flags")
        .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"))
}

fn cpu_identity(cpu_info: &str) -> String {
    ["vendor_id", "cpu family", "model", "stepping", "microcode", "flags"]
        .map(|name| cpu_field(cpu_info, name).unwrap_or_default())
        .join("/")
}

fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

fn memory_mib(mem_info: &str) -> u64 {
    let value = cpu_field(mem_info, "MemTotal").unwrap_or_default();
    value.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// The memory available to this process, and whether a control group limits it.
fn usable_memory_mib() -> (u64, bool) {
    let host = memory_mib(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = cgroup::memory_mib(Path::new(cgroup::ROOT), &groups);
    limit.filter(|limit| *limit < host).map_or((host, false), |limit| (limit, true))
}

/// Whether a program exists but failed, as opposed to a missing one.
fn is_installed(error: &proc::Error) -> bool {
    !matches!(error, proc::Error::NotFound { .. })
}

#[cfg(test)]
mod tests;
