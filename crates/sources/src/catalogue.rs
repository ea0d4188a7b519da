//! The catalogue of platform images. One TOML file ships with Goldsmith, and `catalogue.toml` in
//! the data folder adds to it. A user's image hides the shipped one with the same name.
//!
//! [`wire`] defines the format; `sources/catalogue.toml` is an example.

mod checksum;
mod recipe;
mod wire;

use std::{fs, path::PathBuf};

use api::{
    ErrorCode,
    template::{PlanInfo, PlatformImage},
};
use images::{
    absent::or_none,
    digest::digest,
    error::{Coded, Error, Result},
    first_contact::FirstContact,
    layout::Layout,
};
use serde_json::json;
use vm::OsType;

pub use self::wire::Plan;
use self::wire::{Alias, Parsed, WireImage, parse};
pub(super) use self::{
    checksum::{Checksum, Listing, Pledge},
    recipe::{Bootstrap, Debian, WindowsIso},
    wire::{FileImage, UrlImage},
};
use super::source_cache::{self, Named};

const SHIPPED: &str = include_str!("../catalogue.toml");
const LATEST: &str = "latest";
/// How many similar names an error lists.
const NEAR: usize = 8;

/// All platform images of this installation.
#[derive(Debug)]
pub struct Catalogue {
    images: Vec<WireImage>,
    /// How many images, from the first, are the user's.
    own_images: usize,
    aliases: Vec<Alias>,
    /// The same for the aliases.
    own_aliases: usize,
    layout: Layout,
}

/// An alias of another image, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAlias {
    /// `publisher:offer:sku`; a `*` matches any text.
    pub name: String,
    /// `publisher:offer:sku` of the image.
    pub image: String,
}

/// One version of one image, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub urn: String,
    /// 1 boots with BIOS, 2 with UEFI.
    pub generation: u8,
    /// The system of its guests.
    pub os: OsType,
    /// `bootstrap`, `url` or `file`.
    pub kind: String,
    pub description: String,
}

/// How goldsmith gets a source image.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Bootstrap(Bootstrap),
    Url(UrlImage),
    File(FileImage),
}

impl Origin {
    fn kind(&self) -> &'static str {
        match self {
            Self::Bootstrap(_) => "bootstrap",
            Self::Url(_) => "url",
            Self::File(_) => "file",
        }
    }

    fn version(&self) -> &str {
        match self {
            Self::Bootstrap(recipe) => recipe.version(),
            Self::Url(image) => &image.version,
            Self::File(image) => &image.version,
        }
    }
}

/// A platform image in the catalogue. It need not be in the source cache yet.
#[derive(Debug, Clone)]
pub struct ResolvedEntry {
    /// `publisher:offer:sku:version`. The version is concrete as soon as it is known.
    pub urn: String,
    /// 1 boots with BIOS, 2 with UEFI.
    pub generation: u8,
    /// The system of its guests.
    pub os: OsType,
    /// `x64`.
    pub architecture: String,
    /// A description for people.
    pub description: String,
    /// The purchase plan that a template must name.
    pub plan: Option<Plan>,
    pub(super) origin: Origin,
    /// As the catalogue states it.
    first_contact: FirstContact,
    /// `publisher:offer:sku`.
    pub(super) name: String,
    /// The requested name, if it is an alias.
    alias: Option<String>,
}

impl ResolvedEntry {
    /// A key of everything that determines the image, as far as it is known before the image is
    /// fetched. The source cache finds the image by this key.
    pub(super) fn key(&self) -> String {
        let detail = match &self.origin {
            Origin::Bootstrap(bootstrap) => json!([bootstrap.identity(self.generation)]),
            Origin::Url(image) => match &image.pledge {
                Pledge::Given(checksum) => json!([checksum.text(), image.format.name()]),
                Pledge::Listed(_) => {
                    json!([image.url, image.pledge.identity(), image.format.name()])
                }
            },
            Origin::File(image) => json!([
                image.path.to_string_lossy(),
                image.checksum.as_ref().map(Checksum::text),
                image.stamp(),
                image.format.name(),
            ]),
        };
        let name = self.name.to_lowercase();
        let key = json!([name, self.generation, self.origin.kind(), self.origin.version(), detail]);
        digest(key.to_string().as_bytes())
    }

    /// The image behind an alias; `None` for an image that was requested by its own name.
    pub fn stands_for(&self) -> Option<String> {
        let alias = self.alias.as_ref()?;
        Some(format!(
            "{alias} is not what is built upon: {} stands for it here ({})",
            self.name, self.description
        ))
    }

    /// Whether its version is not known yet: the version of a bootstrapped image gets the date of
    /// the bootstrap.
    pub fn is_undated(&self) -> bool {
        matches!(&self.origin, Origin::Bootstrap(made) if made.version() == version_of(&self.urn))
    }

    /// The names for its image, with the catalogue's version.
    pub(super) fn named(&self) -> Named {
        Named {
            urn: self.urn.clone(),
            exact_version: self.urn.clone(),
            generation: self.generation,
            os: self.os,
            architecture: self.architecture.clone(),
            first_contact: self.first_contact.clone(),
        }
    }

    pub(super) fn urn_of(&self, version: &str) -> String {
        format!("{}:{version}", self.name)
    }
}

impl Catalogue {
    /// Reads both files, for the user of this machine, who sees every image. Unknown keys are errors
    /// that name the file and the line.
    ///
    /// # Errors
    /// `InvalidArgument`: the user's file cannot be read, or has a mistake.
    pub fn load(layout: &Layout) -> Result<Self> {
        Self::load_where(layout, |_| true)
    }

    /// The images that a subscription of the service sees; `None` is the user of this machine. An
    /// image that the subscription does not see hides no shipped one.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_for(layout: &Layout, subscription: Option<&str>) -> Result<Self> {
        let sees = |image: &WireImage| subscription.is_none_or(|id| image.is_seen_by(id));
        Self::load_where(layout, sees)
    }

    /// The images that all subscriptions see.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_public(layout: &Layout) -> Result<Self> {
        Self::load_where(layout, |image| image.subscriptions.is_none())
    }

    fn load_where(layout: &Layout, sees: impl Fn(&WireImage) -> bool) -> Result<Self> {
        let own = layout.user_catalogue();
        let text = or_none(fs::read_to_string(&own))
            .code(ErrorCode::InvalidArgument, || format!("cannot read {}", own.display()))?;
        let parsed = text.map(|text| parse(&text, &own)).transpose()?;
        let Parsed { mut images, mut aliases } = parsed.unwrap_or_default();
        let shipped = parse(SHIPPED, &PathBuf::from("the shipped catalogue"))?;
        let known = |alias: &&Alias| {
            let mut all = images.iter().chain(&shipped.images);
            all.any(|image| image.name().eq_ignore_ascii_case(&alias.image))
        };
        if let Some(alias) = aliases.iter().chain(&shipped.aliases).find(|alias| !known(alias)) {
            let text = format!(
                "{}: the alias {} names {}, which is not in the catalogue",
                own.display(),
                alias.name,
                alias.image
            );
            return Err(Error::new(ErrorCode::InvalidArgument, text)
                .hint("goldsmith catalogue ls lists all; an alias cannot name another alias"));
        }
        images.retain(sees);
        let (own_images, own_aliases) = (images.len(), aliases.len());
        for image in shipped.images {
            if !images.iter().any(|own| own.is(&image.publisher, &image.offer, &image.sku)) {
                images.push(image);
            }
        }
        aliases.extend(shipped.aliases);
        Ok(Self { images, own_images, aliases, own_aliases, layout: layout.clone() })
    }

    fn named(&self, name: &str) -> Option<&WireImage> {
        self.images.iter().find(|image| image.name().eq_ignore_ascii_case(name))
    }

    /// The image that a name refers to. The user's images and aliases take precedence.
    fn meant(&self, name: &str) -> Option<(&WireImage, Option<&Alias>)> {
        let (own, shipped) = self.images.split_at(self.own_images);
        let (own_aliases, aliases) = self.aliases.split_at(self.own_aliases);
        [(own, own_aliases), (shipped, aliases)].into_iter().find_map(|(images, aliases)| {
            let image = images.iter().find(|image| image.name().eq_ignore_ascii_case(name));
            let by_alias = || {
                let alias = aliases.iter().find(|alias| alias.is(name))?;
                Some((self.named(&alias.image)?, Some(alias)))
            };
            image.map(|image| (image, None)).or_else(by_alias)
        })
    }

    /// Every alias of another image.
    pub fn aliases(&self) -> Vec<ListedAlias> {
        let listed = |alias: &Alias| {
            let image = self.named(&alias.image)?.name();
            Some(ListedAlias { name: alias.name.clone(), image })
        };
        self.aliases.iter().filter_map(listed).collect()
    }

    /// Every version of every image, by name.
    pub fn list(&self) -> Vec<Listed> {
        let mut all = Vec::new();
        for image in &self.images {
            for origin in image.origins() {
                let entry = self.entry(image, origin);
                all.push(Listed {
                    urn: entry.urn,
                    generation: entry.generation,
                    os: entry.os,
                    kind: entry.origin.kind().to_owned(),
                    description: entry.description,
                });
            }
        }
        all.sort_by_key(|listed| listed.urn.to_lowercase());
        all
    }

    /// The image with that name, without regard to case. `latest` is the highest version.
    ///
    /// # Errors
    /// `BadPIRSource`, with similar names and how to add an image.
    pub fn resolve(
        &self,
        publisher: &str,
        offer: &str,
        sku: &str,
        version: &str,
    ) -> Result<ResolvedEntry> {
        let asked = [publisher, offer, sku, version];
        let name = [publisher, offer, sku].join(":");
        let Some((image, alias)) = self.meant(&name) else {
            return Err(self.unknown(asked, self.near(publisher, offer, sku)));
        };
        let entry = |origin| ResolvedEntry {
            alias: alias.map(|_| name.clone()),
            ..self.entry(image, origin)
        };
        let mut entries: Vec<_> = image.origins().into_iter().map(entry).collect();
        entries.sort_by_cached_key(|entry| numbers(version_of(&entry.urn)));
        let found = if version.eq_ignore_ascii_case(LATEST) {
            entries.pop()
        } else {
            entries.iter().rev().find(|e| e.answers_to(version)).cloned()
        };
        found.ok_or_else(|| {
            let mut near: Vec<_> = entries.into_iter().rev().map(|entry| entry.urn).collect();
            near.push(format!("{}:{LATEST}", image.name()));
            self.unknown(asked, near)
        })
    }

    /// The image of a template's source, with its plan.
    ///
    /// # Errors
    /// `BadPIRSource`: the image does not exist, or its plan is not the one in the template.
    pub fn source(&self, image: &PlatformImage) -> Result<ResolvedEntry> {
        let entry = self.resolve(&image.publisher, &image.offer, &image.sku, &image.version)?;
        // A free image needs no plan, and a plan in the template does no harm. The same holds for
        // an alias, since nobody buys the image behind it.
        if let Some(plan) = entry.plan.as_ref().filter(|_| entry.alias.is_none()) {
            check_plan(&entry, plan, image.plan_info.as_ref())?;
        }
        Ok(entry)
    }

    fn entry(&self, image: &WireImage, origin: Origin) -> ResolvedEntry {
        let mut entry = ResolvedEntry {
            urn: String::new(),
            generation: image.generation,
            os: image.os,
            architecture: image.architecture().to_owned(),
            description: image.description.clone(),
            plan: image.plan.clone(),
            first_contact: image.first_contact(&origin),
            origin,
            name: image.name(),
            alias: None,
        };
        let known = match &entry.origin {
            Origin::Bootstrap(_) => source_cache::recorded_version(&self.layout, &entry.key()),
            Origin::Url(url) if url.pledge.is_rolling() => {
                source_cache::recorded_version(&self.layout, &entry.key())
            }
            Origin::Url(_) | Origin::File(_) => None,
        };
        entry.urn = entry.urn_of(known.as_deref().unwrap_or(entry.origin.version()));
        entry
    }

    fn near(&self, publisher: &str, offer: &str, sku: &str) -> Vec<String> {
        let mut ranked: Vec<_> = self
            .images
            .iter()
            .map(|image| {
                let pairs =
                    [(&image.publisher, publisher), (&image.offer, offer), (&image.sku, sku)];
                let likeness: usize = pairs.iter().map(|(ours, asked)| common(ours, asked)).sum();
                (likeness, format!("{}:{LATEST}", image.name()))
            })
            .collect();
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        ranked.into_iter().map(|(_, urn)| urn).collect()
    }

    fn unknown(&self, asked: [&str; 4], near: Vec<String>) -> Error {
        if is_windows(asked[0], asked[1]) {
            return self.unknown_windows(asked, &near);
        }
        let stand_in = near.first().map_or("", |urn| urn.rsplit_once(':').map_or("", |(n, _)| n));
        let alias =
            format!("[[alias]]\nname = \"{}\"\nimage = \"{stand_in}\"", asked[..3].join(":"));
        let lines = near.into_iter().take(NEAR).map(|urn| format!("there is {urn}"));
        Error::new(
            ErrorCode::BadPIRSource,
            format!("the catalogue has no image {}", asked.join(":")),
        )
        .target("properties.source")
        .details(lines)
        .hint(format!(
            "goldsmith catalogue ls lists all; add your own to {}, or let one that there is stand for \
             the name by these lines there:\n\n{alias}",
            self.layout.user_catalogue().display()
        ))
    }

    /// Windows may not be redistributed, so that each of its images is the user's own.
    fn unknown_windows(&self, asked: [&str; 4], near: &[String]) -> Error {
        let own = |urn: &&String| {
            let name = urn.rsplit_once(':').map_or("", |(name, _)| name);
            self.named(name).is_some_and(|image| image.os == OsType::Windows)
        };
        let lines = near.iter().filter(own).take(NEAR).map(|urn| format!("there is {urn}"));
        let text = format!(
            "the catalogue has no image {}: it is Windows, whose images everybody gets for \
             themselves",
            asked.join(":")
        );
        Error::new(ErrorCode::BadPIRSource, text).target("properties.source").details(lines).hint(
            format!(
                "add an image that you have a licence for to {}:\n\n{}",
                self.layout.user_catalogue().display(),
                windows_entry(asked)
            ),
        )
    }
}

/// An entry with that name, for a hint.
fn windows_entry([publisher, offer, sku, version]: [&str; 4]) -> String {
    let version = if version.eq_ignore_ascii_case(LATEST) { "1.0.0" } else { version };
    format!(
        "[[image]]\npublisher = \"{publisher}\"\noffer = \"{offer}\"\nsku = \"{sku}\"\n\
         generation = {}\nos-type = \"Windows\"\n\n[[image.file]]\nversion = \"{version}\"\n\
         path = \"/path/to/windows.vhd\"\nformat = \"vhd\"",
        if sku.to_lowercase().contains("g2") || sku.to_lowercase().contains("gen2") {
            2
        } else {
            1
        },
    )
}

/// Whether all of Azure's images with that name are Windows.
fn is_windows(publisher: &str, offer: &str) -> bool {
    let (publisher, offer) = (publisher.to_lowercase(), offer.to_lowercase());
    publisher.starts_with("microsoftwindows")
        || publisher == "microsoftvisualstudio"
        || offer.contains("windows")
        || offer.contains("-ws20")
}

fn check_plan(entry: &ResolvedEntry, plan: &Plan, given: Option<&PlanInfo>) -> Result<()> {
    let wanted = format!(
        "planName `{}`, planProduct `{}`, planPublisher `{}`",
        plan.name, plan.product, plan.publisher
    );
    let refused = |field: &str, text: String| {
        Err(Error::new(ErrorCode::BadPIRSource, text)
            .target(format!("properties.source.planInfo{field}"))
            .hint(format!("give planInfo with {wanted}")))
    };
    let Some(given) = given else {
        let text = format!("{} is sold under a plan, and the template names none", entry.name);
        return refused("", text);
    };
    for (field, theirs, ours) in [
        ("planName", &given.plan_name, &plan.name),
        ("planProduct", &given.plan_product, &plan.product),
        ("planPublisher", &given.plan_publisher, &plan.publisher),
    ] {
        if !theirs.eq_ignore_ascii_case(ours) {
            let text = format!("the {field} of {} is `{ours}`, not `{theirs}`", entry.name);
            return refused(&format!(".{field}"), text);
        }
    }
    Ok(())
}

impl ResolvedEntry {
    /// A bootstrapped image has a date in its version. Without the date, the version matches any
    /// date.
    fn answers_to(&self, version: &str) -> bool {
        version_of(&self.urn).eq_ignore_ascii_case(version)
            || self.origin.version().eq_ignore_ascii_case(version)
    }
}

fn version_of(urn: &str) -> &str {
    urn.rsplit(':').next().unwrap_or_default()
}

/// Whether a version is higher than another. `latest` is the highest one.
pub fn is_newer(version: &str, than: &str) -> bool {
    numbers(version) > numbers(than)
}

/// Orders versions by their numbers: 12.9 before 12.10.
fn numbers(version: &str) -> Vec<(u64, String)> {
    let parts = version.split(['.', '-', '_']);
    parts.map(|part| (part.parse().unwrap_or(0), part.to_lowercase())).collect()
}

/// Length of the common prefix, and a bonus for equality.
fn common(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let same = if a == b { 100 } else { 0 };
    same + a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests;
