//! `[image.bootstrap]`: the ways in which goldsmith makes an image itself.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use images::{digest::digest, image_file::digest::Stamp};
use serde::Deserialize;
use serde_json::json;
use vm::OsType;

/// The smallest disk of each kind, in MiB.
const SMALLEST_LINUX: u32 = 2048;
const SMALLEST_WINDOWS: u32 = 32 << 10;

/// How goldsmith makes an image. The date is appended to its version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub(crate) enum Bootstrap {
    /// `kind = "debian"`, or no kind: from signed packages.
    Debian(Debian),
    /// `kind = "windows-iso"`: installed from the user's own medium.
    WindowsIso(WindowsIso),
}

/// Made from the distribution's signed packages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Debian {
    /// First part of the version.
    pub(crate) version: String,
    /// `bookworm`.
    pub(crate) suite: String,
    #[serde(default = "main_only")]
    pub(crate) components: Vec<String>,
    pub(crate) packages: Vec<String>,
    pub(crate) mirror: String,
    pub(crate) security_mirror: String,
    /// Trusted keys, if not those of the host.
    pub(crate) keyring: Option<PathBuf>,
    /// Size of the disk; builds can make it larger.
    pub(crate) disk_mib: u32,
    /// Disk space that the bootstrap takes; also the end of its progress bar.
    pub(crate) work_mib: u32,
}

/// Installed by Windows Setup from an ISO that the user has a licence for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct WindowsIso {
    /// First part of the version.
    pub(crate) version: String,
    /// The ISO.
    pub(crate) path: PathBuf,
    /// The edition: its index in the medium's `sources\install.wim`.
    pub(crate) index: u32,
    /// Size of the disk; builds can make it larger.
    pub(crate) disk_mib: u32,
    /// Disk space that the installation takes.
    #[serde(default = "usual_work")]
    pub(crate) work_mib: u32,
    /// An ISO with drivers that Setup installs, such as virtio-win's.
    pub(crate) drivers: Option<PathBuf>,
    /// The key of a licence, for editions that cannot be installed without.
    pub(crate) product_key: Option<ProductKey>,
    /// The language of the medium.
    #[serde(default = "english")]
    pub(crate) language: String,
    /// Whether Setup finds a TPM. Windows 11 is otherwise told not to look for one.
    #[serde(default)]
    pub(crate) tpm: bool,
    /// Whether the firmware starts only signed boot loaders.
    #[serde(default)]
    pub(crate) secure_boot: bool,
    /// The memory of the machine that installs.
    #[serde(default = "four_gib")]
    pub(crate) memory_mib: u64,
    /// How long the installation may take.
    #[serde(default = "two_hours")]
    pub(crate) minutes: u32,
}

/// A key that no log shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct ProductKey(pub(crate) String);

impl fmt::Debug for ProductKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProductKey(hidden)")
    }
}

impl TryFrom<toml::Table> for Bootstrap {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let kind = match table.remove("kind") {
            None => "debian".to_owned(),
            Some(toml::Value::String(kind)) => kind,
            Some(_) => return Err("kind is a text".to_owned()),
        };
        let said = |e: toml::de::Error| e.message().to_owned();
        match kind.as_str() {
            "debian" => Debian::deserialize(table).map(Self::Debian).map_err(said),
            "windows-iso" => WindowsIso::deserialize(table).map(Self::WindowsIso).map_err(said),
            _ => Err(format!("kind {kind:?} is not one of debian, windows-iso")),
        }
    }
}

impl Bootstrap {
    pub(crate) fn version(&self) -> &str {
        match self {
            Self::Debian(recipe) => &recipe.version,
            Self::WindowsIso(recipe) => &recipe.version,
        }
    }

    /// The system that it makes.
    pub(super) fn os(&self) -> OsType {
        match self {
            Self::Debian(_) => OsType::Linux,
            Self::WindowsIso(_) => OsType::Windows,
        }
    }

    /// Size of the disk in bytes, if builds can rely on it.
    pub(crate) fn disk_bytes(&self) -> Option<u64> {
        match self {
            Self::Debian(_) => None,
            Self::WindowsIso(recipe) => Some(u64::from(recipe.disk_mib) << 20),
        }
    }

    /// Everything that determines the result, except the date.
    pub(super) fn identity(&self, generation: u8) -> String {
        match self {
            Self::Debian(recipe) => {
                let script = crate::scripts::script(generation);
                // The name that this had when the first images were made, so that they are found.
                let recipe = format!("{recipe:?}").replacen("Debian", "Bootstrap", 1);
                digest(format!("{recipe} {script}").as_bytes())
            }
            Self::WindowsIso(recipe) => {
                let key = recipe.product_key.as_ref().map(|key| &key.0);
                let files = json!([
                    key,
                    stamp(&recipe.path),
                    recipe.drivers.as_deref().map(stamp),
                    [crate::scripts::WINDOWS_ANSWERS, crate::scripts::WINDOWS_INSTALL],
                ]);
                digest(format!("{recipe:?} {files}").as_bytes())
            }
        }
    }

    /// Relative paths start at the catalogue's folder.
    pub(super) fn start_at(&mut self, folder: &Path) {
        if let Self::WindowsIso(recipe) = self {
            recipe.path = folder.join(&recipe.path);
            recipe.drivers = recipe.drivers.as_ref().map(|drivers| folder.join(drivers));
        }
    }

    pub(super) fn fault(&self, generation: u8) -> Option<String> {
        match self {
            Self::Debian(recipe) if recipe.disk_mib < SMALLEST_LINUX => {
                Some(format!("disk-mib is at least {SMALLEST_LINUX}"))
            }
            Self::Debian(_) => None,
            Self::WindowsIso(recipe) => recipe.fault(generation),
        }
    }
}

impl WindowsIso {
    fn fault(&self, generation: u8) -> Option<String> {
        let is_key = |key: &ProductKey| {
            let groups: Vec<_> = key.0.split('-').collect();
            let is_group =
                |group: &&str| group.len() == 5 && group.chars().all(|c| c.is_ascii_alphanumeric());
            groups.len() == 5 && groups.iter().all(is_group)
        };
        let language = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        if self.disk_mib < SMALLEST_WINDOWS {
            return Some(format!("disk-mib is at least {SMALLEST_WINDOWS} for Windows"));
        }
        if self.index == 0 || self.minutes == 0 || self.memory_mib < 1024 {
            return Some(
                "index and minutes are at least 1, memory-mib is at least 1024".to_owned(),
            );
        }
        if self.product_key.as_ref().is_some_and(|key| !is_key(key)) {
            return Some("product-key is five groups of five letters and digits".to_owned());
        }
        if !language(&self.language) {
            return Some(format!("language {:?} is no language tag such as en-US", self.language));
        }
        let needs_uefi = self.secure_boot || self.tpm;
        (generation == 1 && needs_uefi)
            .then(|| "secure-boot and tpm go with generation 2".to_owned())
    }
}

/// Changes with the file.
pub(super) fn stamp(path: &Path) -> String {
    fs::metadata(path)
        .map_or_else(|_| "absent".to_owned(), |metadata| format!("{:?}", Stamp::of(&metadata)))
}

fn main_only() -> Vec<String> {
    vec!["main".to_owned()]
}

fn english() -> String {
    "en-US".to_owned()
}

fn usual_work() -> u32 {
    24 << 10
}

fn four_gib() -> u64 {
    4096
}

fn two_hours() -> u32 {
    120
}
