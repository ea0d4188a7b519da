//! Resource ids: `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}…`.
//!
//! Keywords, types and names are compared without case, like in Azure Resource Manager. Display
//! preserves the spelling of names. Ids outside a resource group are not modelled, since templates do
//! not contain them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Serialize, Serializer};
use strum::VariantArray;

/// The id of a resource group or of a resource in a resource group.
#[derive(Debug, Clone)]
pub struct ResourceId {
    subscription: String,
    resource_group: String,
    /// Empty for a resource group.
    namespace: String,
    /// Pairs of type and name, the outermost first; empty for a resource group.
    segments: Vec<(String, String)>,
}

/// The kinds of resources that a template can refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, VariantArray)]
pub enum ResourceKind {
    /// A resource group, `/subscriptions/{s}/resourceGroups/{g}`.
    ResourceGroup,
    /// A managed image.
    Image,
    /// A gallery's image definition.
    GalleryImage,
    /// A version of an image definition, or `latest`.
    GalleryImageVersion,
    /// A subnet of a virtual network.
    Subnet,
    /// A user-assigned identity.
    UserAssignedIdentity,
    /// An image template.
    ImageTemplate,
}

/// The reason why a string is not a resource id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceIdError {
    /// The string does not begin with `/subscriptions/`.
    #[error("a resource id begins with `/subscriptions/`")]
    Start,
    /// `resourceGroups` is missing after the subscription.
    #[error("`/resourceGroups/` and a name must follow the subscription")]
    ResourceGroup,
    /// `providers` is missing after the resource group.
    #[error("`/providers/`, a namespace, a type and a name must follow the resource group")]
    Provider,
    /// A type has no name.
    #[error("`{0}` is not followed by a name")]
    Unpaired(String),
    /// The string contains two adjacent slashes, or ends with one.
    #[error("a part between two slashes is empty")]
    EmptySegment,
    /// A name contains an invalid character.
    #[error("the character {0:?} is not allowed in a name")]
    Character(char),
}

impl ResourceKind {
    /// The namespace, and the types with the outermost first.
    const fn shape(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::ResourceGroup => ("", &[]),
            Self::Image => ("Microsoft.Compute", &["images"]),
            Self::GalleryImage => ("Microsoft.Compute", &["galleries", "images"]),
            Self::GalleryImageVersion => {
                ("Microsoft.Compute", &["galleries", "images", "versions"])
            }
            Self::Subnet => ("Microsoft.Network", &["virtualNetworks", "subnets"]),
            Self::UserAssignedIdentity => {
                ("Microsoft.ManagedIdentity", &["userAssignedIdentities"])
            }
            Self::ImageTemplate => ("Microsoft.VirtualMachineImages", &["imageTemplates"]),
        }
    }

    /// The kind for messages, such as `a subnet`.
    pub const fn description(self) -> &'static str {
        match self {
            Self::ResourceGroup => "a resource group",
            Self::Image => "a managed image",
            Self::GalleryImage => "a gallery image definition",
            Self::GalleryImageVersion => "a gallery image version",
            Self::Subnet => "a subnet",
            Self::UserAssignedIdentity => "a user-assigned identity",
            Self::ImageTemplate => "an image template",
        }
    }

    /// The pattern of an id of this kind, with placeholders in braces.
    pub fn pattern(self) -> String {
        let (namespace, types) = self.shape();
        let mut text = "/subscriptions/{subscription}/resourceGroups/{group}".to_owned();
        if !namespace.is_empty() {
            text.push_str("/providers/");
            text.push_str(namespace);
        }
        for kind in types {
            let name = match *kind {
                "galleries" => "gallery",
                "versions" => "version",
                "virtualNetworks" => "network",
                "subnets" => "subnet",
                _ => "name",
            };
            text.push_str(&format!("/{kind}/{{{name}}}"));
        }
        text
    }
}

impl ResourceId {
    /// An id of the given kind, with the canonical spelling of namespace and types.
    ///
    /// `names` has one name for each type, the outermost first. `None` if the number of names is
    /// wrong, or if a name contains an invalid character.
    pub fn new(
        kind: ResourceKind,
        subscription: &str,
        resource_group: &str,
        names: &[&str],
    ) -> Option<Self> {
        let (namespace, types) = kind.shape();
        if names.len() != types.len() {
            return None;
        }
        for name in [subscription, resource_group].iter().chain(names) {
            check_name(name).ok()?;
        }
        Some(Self {
            subscription: subscription.to_owned(),
            resource_group: resource_group.to_owned(),
            namespace: namespace.to_owned(),
            segments: types
                .iter()
                .zip(names)
                .map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned()))
                .collect(),
        })
    }

    /// The subscription's id or name.
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// The name of the resource group.
    pub fn resource_group(&self) -> &str {
        &self.resource_group
    }

    /// The namespace of the resource provider, such as `Microsoft.Compute`; empty for a resource
    /// group.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name of the resource itself, the last part.
    pub fn name(&self) -> &str {
        self.segments.last().map_or(&self.resource_group, |(_, name)| name)
    }

    /// The name after the type `kind`, such as the gallery's name after `galleries`.
    pub fn name_of(&self, kind: &str) -> Option<&str> {
        self.segments
            .iter()
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(kind))
            .map(|(_, name)| name.as_str())
    }

    /// The kind, or `None` if a template cannot refer to this kind of resource.
    pub fn kind(&self) -> Option<ResourceKind> {
        ResourceKind::VARIANTS.iter().copied().find(|kind| self.is(*kind))
    }

    /// Whether the namespace and the types are those of the kind.
    pub fn is(&self, kind: ResourceKind) -> bool {
        let (namespace, types) = kind.shape();
        self.namespace.eq_ignore_ascii_case(namespace)
            && self.segments.len() == types.len()
            && self
                .segments
                .iter()
                .zip(types)
                .all(|((segment, _), kind)| segment.eq_ignore_ascii_case(kind))
    }

    /// The containing resource: the definition of a version, the network of a subnet. The resource
    /// group for a top-level resource; `None` for a resource group.
    pub fn parent(&self) -> Option<Self> {
        let mut parent = self.clone();
        parent.segments.pop()?;
        if parent.segments.is_empty() {
            parent.namespace.clear();
        }
        Some(parent)
    }

    /// A child resource, such as a version of a definition.
    ///
    /// `None` if the name contains an invalid character.
    pub fn child(&self, kind: &str, name: &str) -> Option<Self> {
        check_name(name).ok()?;
        let mut child = self.clone();
        child.segments.push((kind.to_owned(), name.to_owned()));
        Some(child)
    }

    /// The id in lower case, which equal ids share. Use it for keys of files and maps.
    pub fn canonical(&self) -> String {
        self.to_string().to_lowercase()
    }
}

fn check_name(name: &str) -> Result<(), ResourceIdError> {
    if name.is_empty() {
        return Err(ResourceIdError::EmptySegment);
    }
    match name
        .chars()
        .find(|c| c.is_control() || c.is_whitespace() || "<>%&\\?#/:*\"|[]{}'".contains(*c))
    {
        Some(bad) => Err(ResourceIdError::Character(bad)),
        None => Ok(()),
    }
}

impl FromStr for ResourceId {
    type Err = ResourceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is =
            |part: Option<&str>, word: &str| part.is_some_and(|p| p.eq_ignore_ascii_case(word));
        let mut parts = text.strip_prefix('/').ok_or(ResourceIdError::Start)?.split('/');
        if !is(parts.next(), "subscriptions") {
            return Err(ResourceIdError::Start);
        }
        let subscription = parts.next().ok_or(ResourceIdError::EmptySegment)?;
        check_name(subscription)?;
        if !is(parts.next(), "resourceGroups") {
            return Err(ResourceIdError::ResourceGroup);
        }
        let resource_group = parts.next().ok_or(ResourceIdError::ResourceGroup)?;
        check_name(resource_group)?;
        let mut id = Self {
            subscription: subscription.to_owned(),
            resource_group: resource_group.to_owned(),
            namespace: String::new(),
            segments: Vec::new(),
        };
        let Some(keyword) = parts.next() else {
            return Ok(id);
        };
        if keyword.is_empty() {
            return Err(ResourceIdError::EmptySegment);
        }
        if !keyword.eq_ignore_ascii_case("providers") {
            return Err(ResourceIdError::Provider);
        }
        let namespace = parts.next().ok_or(ResourceIdError::Provider)?;
        check_name(namespace)?;
        id.namespace = namespace.to_owned();
        while let Some(kind) = parts.next() {
            check_name(kind)?;
            let name = parts.next().ok_or_else(|| ResourceIdError::Unpaired(kind.to_owned()))?;
            check_name(name)?;
            id.segments.push((kind.to_owned(), name.to_owned()));
        }
        if id.segments.is_empty() {
            return Err(ResourceIdError::Provider);
        }
        Ok(id)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/subscriptions/{}/resourceGroups/{}", self.subscription, self.resource_group)?;
        if !self.namespace.is_empty() {
            write!(f, "/providers/{}", self.namespace)?;
        }
        self.segments.iter().try_for_each(|(kind, name)| write!(f, "/{kind}/{name}"))
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for ResourceId {}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.canonical().cmp(&other.canonical())
    }
}

#[cfg(test)]
mod tests;
