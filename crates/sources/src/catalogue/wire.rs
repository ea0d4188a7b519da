//! The format of a catalogue file.

use std::path::{Path, PathBuf};

use api::ErrorCode;
use images::{
    error::{Error, Result},
    first_contact::{FirstContact, LoginFile},
    format::Format,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Spanned;
use uuid::Uuid;
use vm::OsType;

use super::{
    Origin,
    checksum::{Checksum, Pledge, WireImageSums},
    recipe::{self, Bootstrap},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFile {
    #[serde(default)]
    image: Vec<Spanned<WireImage>>,
    #[serde(default)]
    alias: Vec<Spanned<Alias>>,
}

/// The content of one file.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) images: Vec<WireImage>,
    pub(super) aliases: Vec<Alias>,
}

/// A name that stands for another image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alias {
    /// `publisher:offer:sku`; a `*` matches any text.
    pub(super) name: String,
    /// `publisher:offer:sku` of an image.
    pub(super) image: String,
}

impl Alias {
    /// Whether the alias matches that name.
    pub(super) fn is(&self, name: &str) -> bool {
        fits(&self.name.to_lowercase(), &name.to_lowercase())
    }

    fn fault(&self) -> Option<String> {
        let is_name = |name: &str| {
            let parts: Vec<_> = name.split(':').collect();
            parts.len() == 3 && parts.iter().all(|part| !part.trim().is_empty())
        };
        if !is_name(&self.name) || !is_name(&self.image) {
            return Some("name and image of an alias are publisher:offer:sku".to_owned());
        }
        let what = "image of an alias names one image, without *";
        self.image.contains('*').then(|| what.to_owned())
    }
}

/// Whether a text matches the pattern. Each `*` matches any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// One image: `publisher:offer:sku` and the origin of its versions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WireImage {
    pub(super) publisher: String,
    pub(super) offer: String,
    pub(super) sku: String,
    /// 1 boots with BIOS, 2 with UEFI.
    pub(super) generation: u8,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default, rename = "os-type", deserialize_with = "os_type")]
    pub(super) os: OsType,
    #[serde(default)]
    architecture: Architecture,
    /// The purchase plan that a template with this source must name.
    pub(super) plan: Option<Plan>,
    /// The ids of the subscriptions that see the image; all of them without the field.
    pub(super) subscriptions: Option<Vec<Uuid>>,
    first_contact: Option<String>,
    login: Option<LoginFile>,
    bootstrap: Option<Bootstrap>,
    #[serde(default)]
    url: Vec<UrlImage>,
    #[serde(default)]
    file: Vec<FileImage>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
enum Architecture {
    #[default]
    #[serde(rename = "x64")]
    X64,
}

/// A purchase plan, as in `planInfo` of a template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub name: String,
    pub product: String,
    pub publisher: String,
}

/// Published by a third party. The checksum is required: without it, the content could be anything.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "WireUrl")]
pub(crate) struct UrlImage {
    pub(crate) version: String,
    pub(crate) url: String,
    pub(crate) pledge: Pledge,
    pub(crate) format: Format,
    pub(crate) virtual_size: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WireUrl {
    version: String,
    url: String,
    sha256: Option<String>,
    sha512: Option<String>,
    checksums: Option<String>,
    #[serde(default)]
    rolling: bool,
    versioned_name: Option<String>,
    #[serde(deserialize_with = "format")]
    format: Format,
    virtual_size: Option<u64>,
}

/// A file of this host.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "WireFileImage")]
pub(crate) struct FileImage {
    pub(crate) version: String,
    pub(crate) path: PathBuf,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) format: Format,
    pub(crate) virtual_size: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WireFileImage {
    version: String,
    path: PathBuf,
    sha256: Option<String>,
    sha512: Option<String>,
    #[serde(deserialize_with = "format")]
    format: Format,
    virtual_size: Option<u64>,
}

impl FileImage {
    /// Changes with the file, so that a changed file is imported again.
    pub(super) fn stamp(&self) -> String {
        recipe::stamp(&self.path)
    }
}

impl TryFrom<WireUrl> for UrlImage {
    type Error = String;

    fn try_from(wire: WireUrl) -> Result<Self, String> {
        if !wire.url.starts_with("https://") && !wire.url.starts_with("http://") {
            return Err("url must begin with https:// or http://".to_owned());
        }
        let pledge = Pledge::read(WireImageSums {
            sha256: wire.sha256,
            sha512: wire.sha512,
            checksums: wire.checksums,
            rolling: wire.rolling,
            versioned_name: wire.versioned_name,
        })?;
        let WireUrl { version, url, format, virtual_size, .. } = wire;
        Ok(Self { version, url, pledge, format, virtual_size })
    }
}

impl TryFrom<WireFileImage> for FileImage {
    type Error = String;

    fn try_from(wire: WireFileImage) -> Result<Self, String> {
        let checksum = Checksum::read(wire.sha256, wire.sha512)?;
        let WireFileImage { version, path, format, virtual_size, .. } = wire;
        Ok(Self { version, path, checksum, format, virtual_size })
    }
}

fn format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Format, D::Error> {
    let name = String::deserialize(deserializer)?;
    Format::from_name(&name).ok_or_else(|| {
        let known: Vec<_> = Format::ALL.iter().map(|format| format.name()).collect();
        D::Error::custom(format!("format {name:?} is not one of {}", known.join(", ")))
    })
}

fn os_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OsType, D::Error> {
    let name = String::deserialize(deserializer)?;
    OsType::of_name(&name)
        .ok_or_else(|| D::Error::custom(format!("os-type {name:?} is not one of Linux, Windows")))
}

impl WireImage {
    pub(super) fn is(&self, publisher: &str, offer: &str, sku: &str) -> bool {
        self.publisher.eq_ignore_ascii_case(publisher)
            && self.offer.eq_ignore_ascii_case(offer)
            && self.sku.eq_ignore_ascii_case(sku)
    }

    /// Whether a subscription of the service sees the image.
    pub(super) fn is_seen_by(&self, subscription: &str) -> bool {
        let Some(subscriptions) = &self.subscriptions else { return true };
        subscriptions.iter().any(|id| id.to_string().eq_ignore_ascii_case(subscription))
    }

    pub(super) fn name(&self) -> String {
        format!("{}:{}:{}", self.publisher, self.offer, self.sku)
    }

    pub(super) fn architecture(&self) -> &'static str {
        match self.architecture {
            Architecture::X64 => "x64",
        }
    }

    /// As stated, or what the scripts of a bootstrap provide.
    pub(super) fn first_contact(&self, origin: &Origin) -> FirstContact {
        let usual = match origin {
            Origin::Bootstrap(Bootstrap::Debian(_)) => FirstContact::Credentials,
            Origin::Bootstrap(_) | Origin::Url(_) | Origin::File(_) => FirstContact::usual(self.os),
        };
        // Checked when the file was read.
        self.stated_contact().ok().flatten().unwrap_or(usual)
    }

    fn stated_contact(&self) -> Result<Option<FirstContact>, String> {
        match (&self.first_contact, &self.login) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err("a login goes with first-contact = \"specialized\"".to_owned()),
            (Some(name), login) => FirstContact::of_name(self.os, name, login.clone()).map(Some),
        }
    }

    pub(super) fn origins(&self) -> Vec<Origin> {
        let bootstrap = self.bootstrap.iter().cloned().map(Origin::Bootstrap);
        let urls = self.url.iter().cloned().map(Origin::Url);
        let files = self.file.iter().cloned().map(Origin::File);
        bootstrap.chain(urls).chain(files).collect()
    }

    fn fault(&self) -> Option<String> {
        if self.generation == 0 || self.generation > 2 {
            return Some(format!("generation is 1 or 2, not {}", self.generation));
        }
        if self.origins().is_empty() {
            return Some(format!("{} has no bootstrap, url or file", self.name()));
        }
        let parts = [&self.publisher, &self.offer, &self.sku].into_iter();
        let origins = self.origins();
        let versions = origins.iter().map(|origin| origin.version());
        let bad = |text: &str| text.is_empty() || text.contains(':') || text.contains('/');
        if parts.map(String::as_str).chain(versions).any(bad) {
            return Some("publisher, offer, sku and version are not empty, without : and /".into());
        }
        if let Err(fault) = self.stated_contact() {
            return Some(fault);
        }
        let recipe = self.bootstrap.as_ref()?;
        if recipe.os() != self.os {
            return Some(format!("this bootstrap makes {}: os-type must say so", recipe.os()));
        }
        recipe.fault(self.generation)
    }
}

/// Parses one file. Relative paths in it start at its folder.
pub(super) fn parse(text: &str, path: &Path) -> Result<Parsed> {
    let refuse = |why: String| {
        let text = format!("{}: {why}", path.display());
        Error::new(ErrorCode::InvalidArgument, text.trim_end().to_owned())
    };
    let wire: WireFile = toml::from_str(text).map_err(|e| refuse(e.to_string()))?;
    let line_of = |start: usize| 1 + text[..start].matches('\n').count();
    let mut aliases = Vec::new();
    for spanned in wire.alias {
        let line = line_of(spanned.span().start);
        let alias = spanned.into_inner();
        if let Some(fault) = alias.fault() {
            return Err(refuse(format!("line {line}: {fault}")));
        }
        aliases.push(alias);
    }
    let mut images: Vec<WireImage> = Vec::new();
    for spanned in wire.image {
        let line = line_of(spanned.span().start);
        let mut image = spanned.into_inner();
        if let Some(fault) = image.fault() {
            return Err(refuse(format!("line {line}: {fault}")));
        }
        if images.iter().any(|other| other.is(&image.publisher, &image.offer, &image.sku)) {
            return Err(refuse(format!("line {line}: {} is there twice", image.name())));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        for file in &mut image.file {
            file.path = folder.join(&file.path);
        }
        if let Some(recipe) = &mut image.bootstrap {
            recipe.start_at(folder);
        }
        if let Some(LoginFile(login)) = &mut image.login {
            *login = folder.join(&login);
        }
        images.push(image);
    }
    Ok(Parsed { images, aliases })
}
