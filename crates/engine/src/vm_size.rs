//! Azure VM sizes as vCPUs, memory and architecture, parsed from their names by Azure's naming
//! convention: family, vCPUs, vCPUs in use (`-N`), features, accelerator, version.
//!
//! <https://learn.microsoft.com/azure/virtual-machines/vm-naming-conventions>. The parser ignores
//! properties that a machine here cannot use (accelerators, local disks, network speed).

mod family;

use api::ErrorCode;
use images::error::{Error, Result};
use vm::Host;

use self::family::{Memory, memory, numbered};

/// The properties of a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmSize {
    /// In Azure's spelling.
    pub name: String,
    pub vcpus: u32,
    pub memory_mib: u64,
    /// `x64` or `Arm64`.
    pub architecture: &'static str,
}

const X64: &str = "x64";
const ARM64: &str = "Arm64";

/// AIB's default size for a Gen1 source.
pub const DEFAULT_GEN1: &str = "Standard_D1_v2";
/// AIB's default size for a Gen2 source.
pub const DEFAULT_GEN2: &str = "Standard_D2ds_v4";

/// How many similar names an error shows.
const NEAR: usize = 5;
/// Memory reserved for the host itself.
pub const RESERVED_MIB: u64 = 1024;
/// The minimum and the step of a clipped machine's memory, so that a small change in the host's
/// memory does not make a different machine.
const MEMORY_STEP_MIB: u64 = 256;
/// More vCPUs than any machine in Azure has.
const MOST_VCPUS: u32 = 2048;
/// Letters after the number: AMD, block storage, local disk, containers, isolated, little memory,
/// more memory, network, Arm, RDMA, premium storage, tiny memory, memory extension.
const FEATURES: &str = "abdeilmnoprstx";

const FIELD: &str = "properties.vmProfile.vmSize";

impl VmSize {
    /// The size, limited to this host's resources.
    #[must_use]
    pub fn on(&self, host: &Host) -> Self {
        let room = host.memory_mib.saturating_sub(RESERVED_MIB);
        let room = (room / MEMORY_STEP_MIB).max(1) * MEMORY_STEP_MIB;
        Self {
            vcpus: self.vcpus.min(host.cpus.max(1)),
            memory_mib: self.memory_mib.min(room),
            ..self.clone()
        }
    }

    /// Whether its processor architecture is not supported here.
    pub fn is_arm(&self) -> bool {
        self.architecture == ARM64
    }

    /// The resources that the host lacks, for display; `None` if it has all.
    pub fn shortfall(&self, host: &Host) -> Option<String> {
        let here = self.on(host);
        (here != *self).then(|| {
            format!(
                "{} has {} vCPUs and {} MiB; this host gives the machine {} and {} MiB",
                self.name, self.vcpus, self.memory_mib, here.vcpus, here.memory_mib
            )
        })
    }

    fn parse(name: &str) -> Option<Self> {
        let (tier, rest) = name.split_once('_')?;
        let is_basic = tier.eq_ignore_ascii_case("Basic");
        if !is_basic && !tier.eq_ignore_ascii_case("Standard") {
            return None;
        }
        let parts = Parts::read(rest)?;
        let is_known = !is_basic || parts.family == "A" && parts.version == 1;
        let size = parts.size().filter(|_| is_known)?;
        let tier = if is_basic { "Basic" } else { "Standard" };
        Some(Self { name: format!("{tier}_{}", size.name), ..size })
    }
}

/// The parts of a name after its tier.
#[derive(Debug)]
struct Parts {
    /// In capitals: `D`, `NC`.
    family: String,
    /// The number of vCPUs, or in the first generations an index in a list.
    number: u32,
    /// vCPUs in use, if they are fewer.
    constrained: Option<u32>,
    /// In lower case.
    features: String,
    /// As given: `A100`, `cc`.
    extra: Option<String>,
    /// 1 if the name has none.
    version: u32,
    /// Whether the name contains it.
    has_version: bool,
    is_promotion: bool,
}

impl Parts {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('_');
        let head = parts.next()?;
        let digits = head.find(|c: char| c.is_ascii_digit())?;
        let (family, rest) = head.split_at(digits);
        let (number, rest) = leading_number(rest)?;
        let (constrained, rest) = match rest.strip_prefix('-') {
            Some(rest) => leading_number(rest).map(|(number, rest)| (Some(number), rest))?,
            None => (None, rest),
        };
        let mut read = Self {
            family: family.to_uppercase(),
            number,
            constrained,
            features: rest.to_lowercase(),
            extra: None,
            version: 1,
            has_version: false,
            is_promotion: false,
        };
        for part in parts {
            let version = part.strip_prefix(['v', 'V']).and_then(|v| v.parse::<u32>().ok());
            match version.filter(|version| (1..10).contains(version)) {
                Some(version) if !read.has_version => {
                    (read.version, read.has_version) = (version, true);
                }
                None if part.eq_ignore_ascii_case("Promo") && !read.is_promotion => {
                    read.is_promotion = true;
                }
                None if read.extra.is_none() && !read.has_version => {
                    read.extra = Some(part.to_owned());
                }
                _ => return None,
            }
        }
        read.is_sound().then_some(read)
    }

    fn is_sound(&self) -> bool {
        let letters: Vec<char> = self.features.chars().collect();
        let once = |(at, c): (usize, &char)| FEATURES.contains(*c) && !letters[..at].contains(c);
        let accelerator = |text: &str| {
            let short = (1..=6).contains(&text.len());
            short && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        letters.iter().enumerate().all(once)
            && self.number <= MOST_VCPUS
            && self.extra.as_deref().is_none_or(|text| match self.family.as_bytes() {
                [b'N', ..] => accelerator(text),
                // Confidential child VMs, and a machine's memory in steps.
                [b'D' | b'E', ..] => text.eq_ignore_ascii_case("cc"),
                [b'M'] => text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_digit()),
                _ => false,
            })
            && self.constrained.is_none_or(|used| used > 0)
    }

    fn size(&self) -> Option<VmSize> {
        let (vcpus, memory_mib) = match memory(&self.family, self.version, &self.features)? {
            Memory::PerVcpu(mib) => {
                let plausible =
                    self.number == 1 || self.number > 0 && self.number.is_multiple_of(2);
                (plausible.then_some(self.number)?, u64::from(self.number) * mib)
            }
            Memory::Numbered => numbered(&self.family, self.number, &self.features)?,
        };
        let used = self.constrained.unwrap_or(vcpus);
        let is_arm = self.features.contains('p') && self.family != "NP";
        (used <= vcpus).then(|| VmSize {
            name: self.name(),
            vcpus: used,
            memory_mib,
            architecture: if is_arm { ARM64 } else { X64 },
        })
    }

    /// The name in Azure's spelling.
    fn name(&self) -> String {
        let mut name = format!("{}{}", self.family, self.number);
        if let Some(used) = self.constrained {
            name += &format!("-{used}");
        }
        name += &self.features;
        if let Some(extra) = &self.extra {
            let is_accelerator = self.family.starts_with('N');
            name += "_";
            name += &if is_accelerator { extra.to_uppercase() } else { extra.to_lowercase() };
        }
        if self.has_version {
            name += &format!("_v{}", self.version);
        }
        if self.is_promotion {
            name += "_Promo";
        }
        name
    }
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let plain = digits == "0" || !digits.starts_with('0');
    Some((digits.parse().ok().filter(|_| plain)?, rest))
}

/// Common sizes for builds, to list and to suggest. Every other name is understood too.
pub fn common() -> Vec<VmSize> {
    let names = family::COMMON.iter().flat_map(|(pattern, numbers)| {
        numbers.iter().map(move |number| pattern.replace('#', &number.to_string()))
    });
    names.filter_map(|name| VmSize::parse(&format!("Standard_{name}"))).collect()
}

/// The size with that name, in any case.
///
/// # Errors
/// `ValidationFailed` at `properties.vmProfile.vmSize` for an invalid name, with similar names.
pub fn find(name: &str) -> Result<VmSize> {
    if let Some(size) = VmSize::parse(name.trim()) {
        return Ok(size);
    }
    let near = nearest(name, |_| true).join(", ");
    Err(Error::new(ErrorCode::ValidationFailed, format!("{name:?} is not a VM size of Azure"))
        .target(FIELD)
        .hint(format!("a size has a name such as Standard_D2s_v5; near are {near}")))
}

/// The size with that name, or the default for the source's generation, if the source runs on it.
///
/// # Errors
/// `ValidationFailed` at `properties.vmProfile.vmSize`.
pub fn for_source(given: Option<&str>, generation: u8, architecture: &str) -> Result<VmSize> {
    let default = if generation == 1 { DEFAULT_GEN1 } else { DEFAULT_GEN2 };
    let size = find(given.filter(|name| !name.is_empty()).unwrap_or(default))?;
    // An image of unknown architecture is accepted.
    if architecture.is_empty() || size.architecture.eq_ignore_ascii_case(architecture) {
        return Ok(size);
    }
    let same = |other: &VmSize| other.architecture.eq_ignore_ascii_case(architecture);
    let near = nearest(&size.name, same).join(", ");
    let text = format!(
        "the VM size {} has an {} processor and the source image is for {architecture}",
        size.name, size.architecture
    );
    Err(Error::new(ErrorCode::ValidationFailed, text)
        .target(FIELD)
        .hint(format!("give a size of the image's architecture: {near}")))
}

/// The most similar common names, best first.
fn nearest(name: &str, wanted: impl Fn(&VmSize) -> bool) -> Vec<String> {
    let name = name.to_lowercase();
    let mut all: Vec<_> = common()
        .into_iter()
        .filter(|size| wanted(size))
        .map(|size| (difference(&name, &size.name.to_lowercase()), size.name))
        .collect();
    all.sort_by_key(|(difference, _)| *difference);
    all.into_iter().take(NEAR).map(|(_, name)| name).collect()
}

/// The number of letters outside the common prefix and the common suffix.
fn difference(a: &str, b: &str) -> usize {
    let common = |(x, y): &(char, char)| x == y;
    let start = a.chars().zip(b.chars()).take_while(common).count();
    let least = a.chars().count().min(b.chars().count()) - start;
    let end = a.chars().rev().zip(b.chars().rev()).take_while(common).count().min(least);
    a.chars().count() + b.chars().count() - 2 * (start + end)
}

#[cfg(test)]
mod tests;
