//! `goldsmith.toml` in the data folder: the administrator's settings for this installation. Regions
//! and storage accounts are names for storage places, subnets are names for bridges of this host.
//!
//! Without the file none of them exist, and templates that name one are rejected.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use api::region_key;
use api::{ErrorCode, ResourceId, ResourceKind};
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;
use vm::may_wait;

use crate::{
    absent::or_none,
    error::{Coded, Error, Result},
    layout::Layout,
};

/// The object store schemes that a place may have.
const SCHEMES: [&str; 3] = ["s3://", "az://", "https://"];

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Regions, beyond the local store, that versions of gallery images are replicated to.
    #[serde(default, rename = "region")]
    pub regions: Vec<Region>,
    /// Storage accounts that a VHD's `uri` may name.
    #[serde(default, rename = "account")]
    pub accounts: Vec<Account>,
    /// Subnets that a build machine can be connected to.
    #[serde(default, rename = "subnet")]
    pub subnets: Vec<Subnet>,
    /// What all subscriptions of a service see.
    #[serde(default)]
    pub sharing: Sharing,
    /// How much the clients of a service may use; see [`Config::limits`].
    #[serde(default)]
    pub limits: toml::Table,
}

/// What all subscriptions of a service see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sharing {
    /// The ids of the subscriptions that see the images which commands on this machine made or imported; all of them
    /// without the field.
    local_images: Option<Vec<Uuid>>,
}

impl Sharing {
    /// Whether a subscription sees the images which commands on this machine made or imported.
    pub fn has_local_images_for(&self, subscription: &str) -> bool {
        let Some(ids) = &self.local_images else { return true };
        ids.iter().any(|id| id.to_string().eq_ignore_ascii_case(subscription))
    }
}

/// A region and the place of its copies.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Lower case, without blanks.
    pub name: String,
    pub place: StorageLocation,
}

/// A storage account and the place of its blobs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The first part of `<name>.blob.core.windows.net`.
    pub name: String,
    pub place: StorageLocation,
}

/// A subnet and the bridge of this host that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    /// Resource id of the subnet; compared without case.
    pub id: String,
    pub bridge: String,
}

/// A storage place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum StorageLocation {
    /// A folder of this host. A relative path starts at the configuration file's folder.
    Folder(PathBuf),
    /// An object store's URL, such as `s3://bucket/prefix`. Its credentials come from the
    /// environment.
    Url(String),
}

impl From<String> for StorageLocation {
    fn from(text: String) -> Self {
        if SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            return Self::Url(text);
        }
        Self::Folder(text.strip_prefix("file://").unwrap_or(&text).into())
    }
}

impl Config {
    /// Reads the layout's file. Returns the default if there is no file.
    ///
    /// # Errors
    /// `InvalidArgument` with the file, the line and the mistake.
    pub fn load(layout: &Layout) -> Result<Self> {
        let path = layout.config();
        let text = or_none(may_wait(|| fs::read_to_string(&path)))
            .code(ErrorCode::InvalidArgument, || format!("cannot read {}", path.display()))?;
        text.map_or_else(|| Ok(Self::default()), |text| Self::parse(&text, &path))
    }

    /// `[limits]`, which only the service reads: a build has no clients.
    ///
    /// # Errors
    /// `InvalidArgument` with the name of the invalid value.
    pub fn limits<T: DeserializeOwned>(&self) -> Result<T> {
        self.limits.clone().try_into().map_err(|e: toml::de::Error| {
            let text = format!("goldsmith.toml: [limits]: {}", e.to_string().trim_end());
            Error::new(ErrorCode::InvalidArgument, text).hint("docs/service.md lists the limits")
        })
    }

    /// Parses the text of the file at `path`.
    fn parse(text: &str, path: &Path) -> Result<Self> {
        let refuse = |why: String| {
            let text = format!("{}: {}", path.display(), why.trim_end());
            Error::new(ErrorCode::InvalidArgument, text)
                .hint("docs/configuration.md says what the file may have")
        };
        let mut config: Self = toml::from_str(text).map_err(|e| refuse(e.to_string()))?;
        if let Some(fault) = config.fault() {
            return Err(refuse(fault));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let places = config.regions.iter_mut().map(|region| &mut region.place);
        for place in places.chain(config.accounts.iter_mut().map(|account| &mut account.place)) {
            if let StorageLocation::Folder(path) = place {
                *path = folder.join(&path);
            }
        }
        for region in &mut config.regions {
            region.name = region_key(&region.name);
        }
        Ok(config)
    }

    fn fault(&self) -> Option<String> {
        let regions = self.regions.iter().map(|region| ("region", region_key(&region.name)));
        let accounts = self.accounts.iter().map(|a| ("account", a.name.to_lowercase()));
        let subnets = self.subnets.iter().map(|s| ("subnet", s.id.to_lowercase()));
        let places = self.regions.iter().map(|region| &region.place);
        for place in places.chain(self.accounts.iter().map(|account| &account.place)) {
            if let StorageLocation::Folder(path) = place
                && path.to_string_lossy().contains("://")
            {
                let known = SCHEMES.join(", ");
                return Some(format!(
                    "`{}` is not a place: use a folder, or {known}",
                    path.display()
                ));
            }
        }
        let mut seen = Vec::new();
        for entry in regions.chain(accounts).chain(subnets) {
            let (what, name) = &entry;
            if name.is_empty() {
                return Some(format!("a {what} has no name"));
            }
            if seen.contains(&entry) {
                return Some(format!("{what} `{name}` is there twice"));
            }
            seen.push(entry);
        }
        self.subnets.iter().find_map(|subnet| {
            let is_subnet =
                subnet.id.parse().is_ok_and(|id: ResourceId| id.is(ResourceKind::Subnet));
            // IFNAMSIZ is 16 bytes, terminator included.
            let is_device = !subnet.bridge.is_empty()
                && subnet.bridge.len() < 16
                && !subnet.bridge.contains(['/', ' ', ',']);
            match (is_subnet, is_device) {
                (true, true) => None,
                (false, _) => Some(format!(
                    "subnet id `{}` is not {}",
                    subnet.id,
                    ResourceKind::Subnet.pattern()
                )),
                (_, false) => Some(format!("`{}` is not a valid name of a bridge", subnet.bridge)),
            }
        })
    }

    /// The region with that name, in any spelling: `West US 2` is `westus2`.
    pub fn region(&self, name: &str) -> Option<&Region> {
        let key = region_key(name);
        self.regions.iter().find(|region| region.name == key)
    }

    /// The storage account with that name.
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name.eq_ignore_ascii_case(name))
    }

    /// The bridge that a subnet stands for.
    pub fn bridge(&self, subnet: &ResourceId) -> Option<&str> {
        let id = subnet.to_string();
        let found = self.subnets.iter().find(|own| own.id.eq_ignore_ascii_case(&id));
        found.map(|own| own.bridge.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const SUBNET: &str =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n";

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text, Path::new("/etc/goldsmith/goldsmith.toml"))
    }

    #[test]
    fn names_match_in_any_spelling() {
        let config = parse(&format!(
            "[[region]]\nname = \"West US 2\"\nplace = \"copies\"\n\
             [[region]]\nname = \"eastus\"\nplace = \"s3://bucket/golden\"\n\
             [[account]]\nname = \"images\"\nplace = \"/srv/blobs\"\n\
             [[subnet]]\nid = \"{SUBNET}\"\nbridge = \"br0\"\n"
        ))
        .unwrap();
        let west = config.region("westus2").unwrap();
        assert_eq!(west.place, StorageLocation::Folder("/etc/goldsmith/copies".into()));
        assert_eq!(
            config.region("East US").unwrap().place,
            StorageLocation::Url("s3://bucket/golden".into())
        );
        assert_eq!(
            config.account("Images").unwrap().place,
            StorageLocation::Folder("/srv/blobs".into())
        );
        let subnet = SUBNET.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions");
        assert_eq!(config.bridge(&subnet.parse().unwrap()), Some("br0"));
        assert_eq!(config.region("northeurope"), None);
    }

    #[test]
    fn mistake_is_reported_with_the_file() {
        let cases = [
            ("[[region]]\nname = \"a\"\nplaces = \"b\"", "line 3"),
            ("[[region]]\nname = \" \"\nplace = \"b\"", "has no name"),
            (
                "[[region]]\nname = \"a b\"\nplace = \"b\"\n[[region]]\nname = \"AB\"\nplace = \"c\"",
                "`ab` is there twice",
            ),
            ("[[region]]\nname = \"a\"\nplace = \"gs://b\"", "`gs://b` is not a place"),
            ("[[subnet]]\nid = \"br0\"\nbridge = \"br0\"", "`br0` is not /subscriptions/"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.message.contains(expected), "{}", error.message);
            assert!(error.message.contains("goldsmith.toml"), "{}", error.message);
        }
        let bridge = format!("[[subnet]]\nid = \"{SUBNET}\"\nbridge = \"a,script=/bin/sh\"");
        assert!(parse(&bridge).unwrap_err().message.contains("is not a valid name of a bridge"));
    }

    #[test]
    fn local_images_are_for_the_named_subscriptions() {
        const ID: &str = "11111111-2222-3333-4444-55555555555a";
        let sees = |text: &str| parse(text).unwrap().sharing.has_local_images_for(ID);
        assert!(sees(""));
        assert!(!sees("[sharing]\nlocal-images = []"));
        assert!(sees(&format!("[sharing]\nlocal-images = [\"{}\"]", ID.to_uppercase())));
        assert!(
            parse("[sharing]\nlocal-images = [\"mine\"]").unwrap_err().message.contains("line 2")
        );
    }

    #[test]
    fn missing_file_gives_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        assert_eq!(Config::load(&layout).unwrap(), Config::default());
    }
}
