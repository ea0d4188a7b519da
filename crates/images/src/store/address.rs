//! Resource ids of images, and their folders in the store.

use std::path::{Path, PathBuf};

use api::resource_id::{ResourceId, ResourceKind};

use super::version::Version;

/// Longest name of a folder, in bytes; file systems allow a little more.
const LONGEST: usize = 200;
/// Imported images belong to this subscription and resource group.
const LOCAL_SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
const LOCAL_GROUP: &str = "local";

/// A resource in the image store. Names retain their spelling and are compared without case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `…/images/<name>`
    Managed(ResourceId),
    /// `…/galleries/<gallery>/images/<definition>`
    Definition(ResourceId),
    /// `…/versions/<x.y.z>`
    Version(ResourceId, Version),
    /// `…/versions/latest`, with the definition's id.
    Latest(ResourceId),
}

impl Address {
    /// Parses a resource id. The error explains why it is not a resource of the store.
    pub fn parse(id: &str) -> Result<Self, String> {
        Self::of(&id.parse::<ResourceId>().map_err(|e| e.to_string())?)
    }

    /// The address of an id.
    pub fn of(id: &ResourceId) -> Result<Self, String> {
        check_names(id)?;
        match id.kind() {
            Some(ResourceKind::Image) => Ok(Self::Managed(id.clone())),
            Some(ResourceKind::GalleryImage) => Ok(Self::Definition(id.clone())),
            Some(ResourceKind::GalleryImageVersion) => {
                let definition = id.parent().ok_or("it has no definition")?;
                if id.name().eq_ignore_ascii_case("latest") {
                    return Ok(Self::Latest(definition));
                }
                let version = id.name().parse().map_err(|e| format!("{e}"))?;
                Ok(Self::Version(definition, version))
            }
            _ => Err(format!(
                "an image is {} or {}",
                ResourceKind::Image.pattern(),
                ResourceKind::GalleryImageVersion.pattern()
            )),
        }
    }

    /// The imported managed image with that name.
    pub fn local(name: &str) -> Result<Self, String> {
        let id = ResourceId::new(ResourceKind::Image, LOCAL_SUBSCRIPTION, LOCAL_GROUP, &[name])
            .ok_or_else(|| format!("`{name}` cannot be the name of an image"))?;
        Self::of(&id)
    }

    /// The resource id.
    pub fn id(&self) -> String {
        match self {
            Self::Managed(id) | Self::Definition(id) => id.to_string(),
            Self::Version(definition, version) => format!("{definition}/versions/{version}"),
            Self::Latest(definition) => format!("{definition}/versions/latest"),
        }
    }

    /// Its names in lower case, for places beside the store: subscription, group, gallery,
    /// definition and version.
    pub fn parts(&self) -> Vec<String> {
        let dir = self.dir(Path::new(""));
        dir.iter().skip(1).map(|part| part.to_string_lossy().into_owned()).collect()
    }

    /// Its folder below the store's root. For `latest`, the folder of the definition.
    pub(super) fn dir(&self, root: &Path) -> PathBuf {
        let lower = |name: &str| name.to_lowercase();
        let below = |kind: &str, id: &ResourceId| {
            root.join(kind).join(lower(id.subscription())).join(lower(id.resource_group()))
        };
        match self {
            Self::Managed(id) => below(MANAGED, id).join(lower(id.name())),
            Self::Definition(id) | Self::Latest(id) => below(GALLERIES, id)
                .join(lower(id.name_of("galleries").unwrap_or_default()))
                .join(lower(id.name())),
            Self::Version(definition, version) => {
                Self::Definition(definition.clone()).dir(root).join(version.to_string())
            }
        }
    }
}

pub(super) const MANAGED: &str = "managed";
pub(super) const GALLERIES: &str = "galleries";

/// Names become names of folders, so some that an id may have are rejected.
fn check_names(id: &ResourceId) -> Result<(), String> {
    let names = [id.subscription(), id.resource_group(), id.name()];
    for name in names.into_iter().chain(id.name_of("galleries")).chain(id.name_of("images")) {
        if name.starts_with('.') {
            return Err(format!("the name `{name}` begins with a dot"));
        }
        if name.to_lowercase().len() > LONGEST {
            return Err(format!("the name `{name}` is too long"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GALLERY: &str =
        "/subscriptions/S/resourceGroups/Rg/providers/Microsoft.Compute/galleries/G/images/Def";

    fn dir(id: &str) -> String {
        Address::parse(id).unwrap().dir(Path::new("/i")).display().to_string()
    }

    #[test]
    fn id_maps_to_a_lower_case_folder() {
        let managed = "/subscriptions/S/resourceGroups/Rg/providers/Microsoft.Compute/images/Web";
        assert_eq!(dir(managed), "/i/managed/s/rg/web");
        assert_eq!(dir(&managed.to_uppercase()), "/i/managed/s/rg/web");
        assert_eq!(dir(GALLERY), "/i/galleries/s/rg/g/def");
        assert_eq!(dir(&format!("{GALLERY}/versions/1.2.3")), "/i/galleries/s/rg/g/def/1.2.3");
        assert_eq!(dir(&format!("{GALLERY}/versions/Latest")), "/i/galleries/s/rg/g/def");
    }

    #[test]
    fn id_retains_its_spelling() {
        for id in [GALLERY.to_owned(), format!("{GALLERY}/versions/1.2.3")] {
            assert_eq!(Address::parse(&id).unwrap().id(), id);
        }
        let latest = Address::parse(&format!("{GALLERY}/versions/LATEST")).unwrap();
        assert_eq!(latest.id(), format!("{GALLERY}/versions/latest"));
    }

    #[test]
    fn foreign_id_and_path_escape_are_rejected() {
        let group = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute";
        let cases = [
            ("web".to_owned(), "begins with `/subscriptions/`"),
            (format!("{group}/disks/web"), "an image is /subscriptions/"),
            (format!("{GALLERY}/versions/1.2"), "not a version"),
            (format!("{group}/images/.."), "begins with a dot"),
            (format!("{group}/galleries/../images/x"), "begins with a dot"),
            (format!("{group}/images/{}", "a".repeat(300)), "too long"),
        ];
        for (id, text) in cases {
            let error = Address::parse(&id).unwrap_err();
            assert!(error.contains(text), "{id}: {error}");
        }
        assert!(Address::local("a/b").is_err());
        assert!(Address::local("..").is_err());
    }
}
